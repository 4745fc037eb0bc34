"""Numbers of the system calls that the seal speaks of, on the two architectures that Vigil knows.

A table and nothing else: what is denied and how is decided in `seccomp.py`. Columns: x86_64
(arch/x86/entry/syscalls/syscall_64.tbl) and aarch64 (include/uapi/asm-generic/unistd.h) of Linux; None where the
architecture has no such call. A number must never be changed: the kernel's are for ever.
"""

from __future__ import annotations

Numbers = tuple[int | None, int | None]

NEWEST = 469
"""file_setattr (Linux 6.17), the newest call that was read about. What is newer answers as on an older kernel."""

X32_BIT = 0x40000000
"""Numbers from here on are x86_64's x32 calls: the same calls again, by which a filter could be gone round."""

DENIED: dict[str, Numbers] = {
    # processes: none but this one, and no look into another
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "personality": (135, 92),
    "uselib": (134, None),
    # file systems and name spaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "mount_setattr": (442, 442),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "unshare": (272, 97),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "fanotify_init": (300, 262),
    # memory that outlives the process, or that the disk gets to see
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "mlockall": (151, 230),  # called once more, without MCL_FUTURE, it would undo the seal's own
    "munlock": (150, 229),
    "munlockall": (152, 231),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183),
    "mq_notify": (244, 184),
    "mq_getsetattr": (245, 185),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # descriptors from outside: none can be received (SCM_RIGHTS), whoever passes one; recvfrom is enough for us
    "recvmsg": (47, 212),
    "recvmmsg": (299, 243),
    # the kernel itself, and ways round this filter
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    "io_submit": (209, 2),
    "perf_event_open": (298, 241),
    "iopl": (172, None),
    "ioperm": (173, None),
    "_sysctl": (156, None),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "setrlimit": (160, 164),
    # contents of files
    "creat": (85, None),
    "truncate": (76, 45),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
    "splice": (275, 76),
    "tee": (276, 77),
    "vmsplice": (278, 75),
    "sendfile": (40, 71),
    "copy_file_range": (326, 285),
    "remap_file_pages": (216, 234),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # names and attributes of files
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "rmdir": (84, None),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
}
"""Denied whatever their arguments."""

LOOKED_INTO: dict[str, Numbers] = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "openat2": (437, 437),
    "open": (2, None),
    "openat": (257, 56),
    "prlimit64": (302, 261),
    "prctl": (157, 167),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "ioctl": (16, 29),
    "mmap": (9, 222),
}
"""Decided by their arguments, or answered with ENOSYS so that the caller takes a call whose arguments can be seen."""

NEEDED: dict[str, Numbers] = {
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
    "capset": (126, 91),
    "gettid": (186, 178),
    "madvise": (28, 233),
}
"""What the seal itself calls by number."""
