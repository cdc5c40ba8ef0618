// Helpers that measure what a place enforces: memory, cpu, processes, network.
#define _GNU_SOURCE
#include "supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int mode_alloc(int64_t bytes, int64_t hold_ms) {
    if (bytes < 1) return 2;
    char *memory = mmap(0, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        say(2, "raysweep-supervisor: no memory: ", error_text(errno), "", "");
        return 1;
    }
    for (int64_t at = 0; at < bytes; at += 4096) ((volatile char *)memory)[at] = 1;
    say(1, "held", "", "", "");
    int64_t end = boottime_us() + hold_ms * 1000;
    for (int64_t now; (now = boottime_us()) < end;) poll(0, 0, end - now < 1000000 ? (int)((end - now + 999) / 1000) : 1000);
    return 0;
}

int mode_burn(int64_t ms) {
    int64_t end = boottime_us() + ms * 1000;
    while (boottime_us() < end) {}
    struct timespec used;
    char text[24];
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    say(1, number_text((int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000, text), "", "", "");
    return 0;
}

int mode_sleepers(int64_t count) {
    pid_t *made = count > 0 && count <= 4194304 ? calloc((size_t)count, sizeof *made) : 0;
    if (!made) return 2;
    int64_t n = 0;
    int error = 0;
    for (; n < count; n++) {
        pid_t pid = fork();
        if (pid < 0) {
            error = errno;
            break;
        }
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
            for (;;) pause();
        }
        made[n] = pid;
    }
    for (int64_t i = 0; i < n; i++) kill(made[i], SIGKILL);
    while (waitpid(-1, 0, 0) > 0 || errno == EINTR) {}
    char first[24], second[24];
    say(1, number_text(n, first), " ", number_text(error, second), "");
    return 0;
}

static int tell(const char *word, int error, int code) {
    char text[24];
    say(1, word, error ? " " : "", error ? number_text(error, text) : "", "");
    return code;
}

int mode_net(const char *host, int64_t port, int64_t timeout_ms) {
    struct sockaddr_in address4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 address6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    bool four = inet_pton(AF_INET, host, &address4.sin_addr) == 1;
    if (port < 1 || port > 65535 || (!four && inet_pton(AF_INET6, host, &address6.sin6_addr) != 1))
        return tell("error", EINVAL, 3);
    int fd = socket(four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return tell("error", errno, 3);
    const struct sockaddr *address = four ? (void *)&address4 : (void *)&address6;
    int error = connect(fd, address, four ? sizeof address4 : sizeof address6) ? errno : 0;
    if (error == EINPROGRESS) {
        struct pollfd polled = {fd, POLLOUT, 0};
        socklen_t len = sizeof error;
        if (poll(&polled, 1, (int)(timeout_ms < 3600000 ? timeout_ms : 3600000)) == 0) return tell("timeout", 0, 2);
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    }
    if (error == ECONNREFUSED) return tell("refused", 0, 1);
    if (error == ETIMEDOUT) return tell("timeout", 0, 2);
    return error ? tell("error", error, 3) : tell("open", 0, 0);
}
