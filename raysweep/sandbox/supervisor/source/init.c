// The event loop of process 1: one thread, one poll.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_POLLED = 600, REAP_AT_ONCE = 4096 };
#define FAREWELL_US 1000000  // so long a client may take to fetch the answer to `stop`

static int listener, signals;
static bool ended;

socklen_t socket_name(const char *name, void *address) {
    struct sockaddr_un *un = address;
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t len = strlen(name);
    if (len > 64) len = 64;
    memcpy(un->sun_path + 1, "raysweep-", 9);  // the zero before it makes the name abstract
    memcpy(un->sun_path + 10, name, len);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 10 + len);
}

int listen_as(const char *name) {
    struct sockaddr_un address;
    socklen_t len = socket_name(name, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 && !bind(fd, (struct sockaddr *)&address, len) && !listen(fd, 128) ? fd : -1;
}

int open_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, 0);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

// Whoever is root inside may signal process 1 too; only a signal from outside its namespace (which has no pid in here)
// is the platform's.
static void read_signals(void) {
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD && (getpid() != 1 || !info.ssi_pid)) ended = true;
}

// Whether there may be more.
static bool reap(int64_t now) {
    for (int i = 0; i < REAP_AT_ONCE; i++) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) return false;
        if (!command_reaped(pid, status, now)) transfer_reaped(pid, status);
    }
    return true;
}

static nfds_t list_polled(struct pollfd *polled, struct connection **of) {
    nfds_t n = 0;
    polled[n++] = (struct pollfd){listener, POLLIN, 0};
    polled[n++] = (struct pollfd){signals, POLLIN, 0};
    for (struct connection *c = connections; c && n < MAX_POLLED; c = c->next) {
        of[n] = c;
        polled[n++] = (struct pollfd){c->fd, (short)(POLLIN | (c->first ? POLLOUT : 0)), 0};
    }
    return n;
}

static void serve(const struct pollfd *polled, struct connection **of, nfds_t n) {
    for (nfds_t i = 2; i < n; i++) {
        struct connection *c = of[i];
        if (!c->dead && polled[i].revents & POLLOUT) connection_write(c);
        if (!c->dead && polled[i].revents & (POLLIN | POLLHUP | POLLERR)) connection_read(c);
    }
    if (polled[1].revents) read_signals();
    if (polled[0].revents) connection_accept(listener);
}

static int until(int64_t when, int64_t now) {
    if (when <= now) return 0;
    int64_t ms = (when - now + 999) / 1000;
    return ms < 60000 ? (int)ms : 60000;
}

static void turn(int64_t limit) {
    static struct pollfd polled[MAX_POLLED];
    static struct connection *of[MAX_POLLED];
    bool more = reap(boottime_us());
    int64_t now = boottime_us(), next = commands_tick(now), sample = samples_tick(now);
    connections_tidy(now);
    if (sample < next) next = sample;
    if (limit < next) next = limit;
    nfds_t n = list_polled(polled, of);
    if (poll(polled, n, more ? 0 : until(next, boottime_us())) > 0) serve(polled, of, n);
}

static void end_all(void) {
    for (int i = 0; i < 1000; i++) {
        tree_kill_all();
        while (waitpid(-1, 0, WNOHANG) > 0) {}
        if (waitpid(-1, 0, WNOHANG) < 0 && errno == ECHILD) return;
        poll(0, 0, 5);
    }
}

int mode_init(const char *name, const char *spool, const char *digest, const char *keeper) {
    if (strlen(digest) != 64) {
        say(2, "raysweep-supervisor: ", digest, " is not the SHA-256 of a token", "");
        return 2;
    }
    seal_prepare(digest);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    signals = open_signals();
    spool_open(spool);  // where it fails, commands and archives tell
    commands_prepare();
    cgroup_find();
    listener = listen_as(name);
    if (listener < 0) {
        say(2, "raysweep-supervisor: cannot listen as ", name, ": ", error_text(errno));
        return 1;
    }
    samples_begin(keeper);
    while (!ended && !stop_asked) turn(INT64_MAX);
    int64_t limit = boottime_us() + FAREWELL_US;
    while (!ended && stop_asked && !connections_quiet() && boottime_us() < limit) turn(limit);
    end_all();
    // Not 0 when told to by a signal: of a pod whose containers all ended well Kubernetes forgets why it ended them.
    return ended ? 128 + SIGTERM : 0;
}
