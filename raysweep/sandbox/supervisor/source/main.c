// raysweep-supervisor: process 1 of a sandbox's container. See docs/architecture.md, "The supervisor".
#define _GNU_SOURCE
#include "supervisor.h"

#include <string.h>
#include <sys/prctl.h>

static const char usage[] =
    "usage: raysweep-supervisor init NAME SPOOL DIGEST [KEEPER] | keep NAME DIGEST FOLDER | kept FOLDER | call NAME |"
    " copy DIR | true | alloc BYTES [HOLD_MS] | burn MS | sleepers N | net IP PORT TIMEOUT_MS";

static int run_numbers(const char *mode, int count, char **texts) {
    int64_t numbers[3] = {0};
    bool net = !strcmp(mode, "net");
    for (int i = net; i < count && i < 3; i++)
        if (!parse_number(texts[i], &numbers[i]) || numbers[i] < 0) return -1;
    if (!strcmp(mode, "alloc") && (count == 1 || count == 2)) return mode_alloc(numbers[0], numbers[1]);
    if (!strcmp(mode, "burn") && count == 1) return mode_burn(numbers[0]);
    if (!strcmp(mode, "sleepers") && count == 1) return mode_sleepers(numbers[0]);
    if (net && count == 3) return mode_net(texts[0], numbers[1], numbers[2]);
    return -1;
}

static int run(int argc, char **argv) {
    if ((argc == 5 || argc == 6) && !strcmp(argv[1], "init")) return mode_init(argv[2], argv[3], argv[4], argv[5]);
    if (argc == 5 && !strcmp(argv[1], "keep")) return mode_keep(argv[2], argv[3], argv[4]);
    if (argc == 3 && !strcmp(argv[1], "kept")) return mode_kept(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "call")) return mode_call(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "copy")) return mode_copy(argv[2]);
    if (argc == 2 && !strcmp(argv[1], "true")) return 0;
    return argc > 2 ? run_numbers(argv[1], argc - 2, argv + 2) : -1;
}

int main(int argc, char **argv) {
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    int code = run(argc, argv);
    if (code < 0) say(2, usage, "", "", "");
    return code < 0 ? 2 : code;
}
