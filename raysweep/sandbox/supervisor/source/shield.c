// A filter on the system calls of commands: none may change limits or scheduling of process 1.
//
// A task that runs as the same user needs no capability for that: with a limit of no cpu time or no descriptors it
// could end or silence the supervisor. Signals and tracing are closed to it by other means.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifdef __x86_64__
#define NATIVE AUDIT_ARCH_X86_64
#define OTHER AUDIT_ARCH_I386
#define OTHER_PRLIMIT 340
#define OTHER_SETSCHEDULER 156
#define OTHER_SETPARAM 154
#define OTHER_SETATTR 351
#define OTHER_SETAFFINITY 241
#else
#define NATIVE AUDIT_ARCH_AARCH64
#define OTHER AUDIT_ARCH_ARM
#define OTHER_PRLIMIT 369
#define OTHER_SETSCHEDULER 156
#define OTHER_SETPARAM 154
#define OTHER_SETATTR 380
#define OTHER_SETAFFINITY 241
#endif
#define X32_BIT 0x40000000u  // the other numbers of the same calls on amd64

#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define TAKE(verdict) BPF_STMT(BPF_RET | BPF_K, verdict)
#define SKIP_UNLESS(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count)
#define TO_END_IF(value, before) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, before, 0)

void shield_process_one(void) {
    static struct sock_filter steps[] = {
        LOAD(arch),
        SKIP_UNLESS(NATIVE, 8),
        LOAD(nr),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~X32_BIT),
        TO_END_IF(SYS_prlimit64, 13),
        TO_END_IF(SYS_sched_setscheduler, 12),
        TO_END_IF(SYS_sched_setparam, 11),
        TO_END_IF(SYS_sched_setattr, 10),
        TO_END_IF(SYS_sched_setaffinity, 9),
        TAKE(SECCOMP_RET_ALLOW),
        SKIP_UNLESS(OTHER, 6),
        LOAD(nr),
        TO_END_IF(OTHER_PRLIMIT, 5),
        TO_END_IF(OTHER_SETSCHEDULER, 4),
        TO_END_IF(OTHER_SETPARAM, 3),
        TO_END_IF(OTHER_SETATTR, 2),
        TO_END_IF(OTHER_SETAFFINITY, 1),
        TAKE(SECCOMP_RET_ALLOW),
        LOAD(args[0]),
        SKIP_UNLESS(1, 1),
        TAKE(SECCOMP_RET_ERRNO | EPERM),
        TAKE(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof steps / sizeof *steps, steps};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);  // a kernel without filters runs commands without
}
