-- The evidence journal: what the watch saw, as a hash chain (monitor/evidence/chain.py). No person, no bay, no content.
-- Moments are Unix milliseconds of the machine's clock: `vigil audit` writes here too.

CREATE TABLE evidence (
    seq INTEGER PRIMARY KEY CHECK (seq > 0),
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (length(kind) <= 16),
    body TEXT NOT NULL CHECK (length(body) <= 65536),   -- canonical JSON
    prev TEXT NOT NULL CHECK (length(prev) = 64),       -- SHA-256 of the entry before it
    hash TEXT NOT NULL CHECK (length(hash) = 64),       -- SHA-256 of this one
    signature TEXT NOT NULL CHECK (length(signature) = 128)
) STRICT;

-- The last entry. Signed apart, and overwritten with each entry: without the key no shorter chain has a head.
CREATE TABLE evidence_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL,
    signature TEXT NOT NULL
) STRICT;
INSERT INTO evidence_head VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', '');

-- While retention deletes, in its one transaction: up to which entry. Else empty.
CREATE TABLE evidence_pruning (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    up_to INTEGER NOT NULL
) STRICT;

-- These keep a mistake of ours from changing what was written. Who edits the file by other means is found by the chain.
CREATE TRIGGER evidence_follows BEFORE INSERT ON evidence
WHEN NOT EXISTS (SELECT 1 FROM evidence_head WHERE seq = NEW.seq - 1 AND hash = NEW.prev)
BEGIN
    SELECT RAISE(ABORT, 'an evidence entry follows the last one');
END;
CREATE TRIGGER evidence_stays BEFORE UPDATE ON evidence
BEGIN
    SELECT RAISE(ABORT, 'evidence is not changed');
END;
CREATE TRIGGER evidence_is_kept BEFORE DELETE ON evidence
WHEN NOT EXISTS (SELECT 1 FROM evidence_pruning WHERE OLD.seq <= up_to)
BEGIN
    SELECT RAISE(ABORT, 'evidence is deleted by retention alone');
END;
CREATE TRIGGER evidence_head_goes_on BEFORE UPDATE ON evidence_head
WHEN NOT EXISTS (SELECT 1 FROM evidence WHERE NEW.one = 1 AND seq = NEW.seq AND hash = NEW.hash AND seq = OLD.seq + 1)
BEGIN
    SELECT RAISE(ABORT, 'the head of the evidence is its last entry');
END;
CREATE TRIGGER evidence_head_is_one BEFORE INSERT ON evidence_head   -- INSERT OR REPLACE deletes without a trigger
BEGIN
    SELECT RAISE(ABORT, 'there is one head of the evidence');
END;
CREATE TRIGGER evidence_head_is_kept BEFORE DELETE ON evidence_head
BEGIN
    SELECT RAISE(ABORT, 'the head of the evidence is kept');
END;
