// raysweep-supervisor: process 1 of a sandbox's container. See docs/architecture.md, "The supervisor".
#define _GNU_SOURCE
#include "supervisor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char usage[] =
    "usage: raysweep-supervisor init NAME SPOOL | call NAME | copy DIR | true | alloc BYTES [HOLD_MS] | burn MS |"
    " sleepers N | net IP PORT TIMEOUT_MS";

// The token as given, cut out of the environment so that /proc/<pid>/environ does not show it.
static char *take_token(void) {
    static const char key[] = "RAYSWEEP_TOKEN=";
    for (char **at = environ; at && *at; at++) {
        if (strncmp(*at, key, sizeof key - 1)) continue;
        char *copy = strdup(*at + sizeof key - 1);
        explicit_bzero(*at, strlen(*at));
        for (; *at; at++) *at = at[1];
        return copy;
    }
    return 0;
}

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

static int run(int argc, char **argv, char *token) {
    if (argc == 4 && !strcmp(argv[1], "init")) return mode_init(argv[2], argv[3], token);
    if (token) explicit_bzero(token, strlen(token));
    if (argc == 3 && !strcmp(argv[1], "call")) return mode_call(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "copy")) return mode_copy(argv[2]);
    if (argc == 2 && !strcmp(argv[1], "true")) return 0;
    return argc > 2 ? run_numbers(argv[1], argc - 2, argv + 2) : -1;
}

int main(int argc, char **argv) {
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    char *token = take_token();
    int code = run(argc, argv, token);
    if (code < 0) say(2, usage, "", "", "");
    return code < 0 ? 2 : code;
}
