"""Every error that Vigil raises on purpose, and what it means to the outside.

    VigilError                       exit 1   HTTP 500
    ├── InputError                   exit 2   HTTP 400   what was given is wrong
    │   ├── ConfigError              exit 2   HTTP 400   … in the configuration: file, line, key
    │   ├── TooLarge                 exit 2   HTTP 413
    │   ├── UnsupportedMediaType     exit 2   HTTP 415
    │   └── BadOffer                 exit 2   HTTP 422   an SDP offer that cannot be answered
    ├── NotSignedIn                  exit 1   HTTP 401
    ├── NotAllowed                   exit 1   HTTP 403
    ├── NotFound                     exit 1   HTTP 404
    ├── Conflict                     exit 1   HTTP 409   the state does not permit it
    ├── TooMany                      exit 1   HTTP 429   a limit is reached
    ├── Unavailable                  exit 1   HTTP 503   a part is not ready or does not answer
    ├── DoorError                    exit 1   HTTP 500   the door was used wrongly: no trust in the other side any more
    └── SealError                    exit 1   HTTP 500   the media process cannot be sealed, or the seal does not hold

The message says what happened, the hint what to do. Neither may hold a password, a token or a byte of a picture.
`tests/core/test_errors.py` proves that each class has its own exit code and HTTP status.
"""

from __future__ import annotations


class VigilError(Exception):
    """Something that Vigil refuses or cannot do. `message` is one line without a full stop; `hint` too, or empty."""

    exit_code = 1
    http_status = 500
    slug = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(VigilError):
    """What was given is wrong."""

    exit_code = 2
    http_status = 400
    slug = "bad-input"


class ConfigError(InputError):
    """The configuration is wrong: names file, line (from 1; 0 where there is none) and key."""

    slug = "bad-config"

    def __init__(self, message: str, hint: str = "", *, file: str = "", line: int = 0, key: str = "") -> None:
        where = ":".join(part for part in (file, str(line) if line else "", f" {key}" if key else "") if part).strip()
        super().__init__(f"{where}: {message}" if where else message, hint)
        self.file = file
        self.line = line
        self.key = key


class TooLarge(InputError):
    """A request body beyond the limit."""

    http_status = 413
    slug = "too-large"


class UnsupportedMediaType(InputError):
    """A request body of a type that is not accepted here."""

    http_status = 415
    slug = "unsupported-media-type"


class BadOffer(InputError):
    """An SDP offer that cannot be answered: broken, or with nothing in it that Vigil sends."""

    http_status = 422
    slug = "bad-offer"


class NotSignedIn(VigilError):
    """No token, or one that is not known any more."""

    http_status = 401
    slug = "not-signed-in"


class NotAllowed(VigilError):
    """The role does not permit it."""

    http_status = 403
    slug = "not-allowed"


class NotFound(VigilError):
    """No such bay, call, button or session."""

    http_status = 404
    slug = "not-found"


class Conflict(VigilError):
    """The state does not permit it; nothing was changed."""

    http_status = 409
    slug = "conflict"


class TooMany(VigilError):
    """A limit is reached."""

    http_status = 429
    slug = "too-many"


class Unavailable(VigilError):
    """A part of Vigil is not ready or does not answer."""

    http_status = 503
    slug = "unavailable"


class DoorError(VigilError):
    """The door was used wrongly: oversize, malformed, or with a descriptor. The other side is not trusted any more."""

    slug = "door"


class SealError(VigilError):
    """The media process cannot be sealed, or its seal does not hold."""

    slug = "seal"
