// `keep`: process 1 of the keeper's container. It takes one stream of samples, from whoever proves to be the supervisor
// beside it, and appends them to a file that only its own container sees. `kept`: that file to standard output.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GUESTS = 8, PROOF = 64, PIECE = 1 << 12 };
#define MOST_KEPT (8 << 20)  // bytes of samples; about a day of them

struct guest {
    int fd;
    size_t len;
    char proof[PROOF];
};

static struct guest guests[GUESTS];
static int door = -1, feeder = -1, kept = -1, alarms = -1, oldest;

static int open_kept(const char *folder, int flags) {
    int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = at < 0 ? -1 : openat(at, "samples", flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (at >= 0) close(at);
    return fd;
}

static void leave(struct guest *guest) {
    if (guest->fd >= 0) close(guest->fd);
    guest->fd = -1;
    guest->len = 0;
}

static void admit(void) {
    int fd = accept4(door, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    leave(&guests[oldest]);
    guests[oldest].fd = fd;
    oldest = (oldest + 1) % GUESTS;
}

static void listen_to(struct guest *guest, const char *digest) {
    ssize_t got = recv(guest->fd, guest->proof + guest->len, PROOF - guest->len, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0) guest->len += (size_t)got;
    if (got <= 0 || (guest->len == PROOF && !digest_fits(guest->proof, PROOF, digest))) {
        leave(guest);
    } else if (guest->len == PROOF) {
        feeder = guest->fd;
        guest->fd = -1;
        for (int i = 0; i < GUESTS; i++) leave(&guests[i]);
        close(door);
        door = -1;
    }
}

static void keep_piece(void) {
    static char piece[PIECE];
    struct stat st;
    ssize_t got = recv(feeder, piece, sizeof piece, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        close(feeder);
        feeder = -1;
        return;
    }
    if (!fstat(kept, &st) && st.st_size > MOST_KEPT && ftruncate(kept, 0)) return;
    write_all(kept, piece, (size_t)got);
}

static bool told_to_end(void) {
    struct signalfd_siginfo info;
    while (waitpid(-1, 0, WNOHANG) > 0) {}
    while (read(alarms, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD && (getpid() != 1 || !info.ssi_pid)) return true;
    return false;
}

static void turn(const char *digest) {
    struct pollfd polled[GUESTS + 3] = {{alarms, POLLIN, 0}, {door, POLLIN, 0}, {feeder, POLLIN, 0}};
    for (int i = 0; i < GUESTS; i++) polled[3 + i] = (struct pollfd){guests[i].fd, POLLIN, 0};
    if (poll(polled, GUESTS + 3, -1) <= 0) return;
    if (feeder >= 0 && polled[2].revents) keep_piece();
    for (int i = 0; i < GUESTS; i++)
        if (guests[i].fd >= 0 && polled[3 + i].revents) listen_to(&guests[i], digest);
    if (door >= 0 && polled[1].revents) admit();
}

int mode_keep(const char *name, const char *digest, const char *folder) {
    for (int i = 0; i < GUESTS; i++) guests[i].fd = -1;
    alarms = open_signals();
    kept = open_kept(folder, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
    door = listen_as(name);
    if (kept < 0 || door < 0) {
        say(2, "raysweep-supervisor: cannot keep samples as ", name, ": ", error_text(errno));
        return 1;
    }
    while (!told_to_end()) turn(digest);
    return 128 + SIGTERM;
}

int mode_kept(const char *folder) {
    static char piece[PIECE];
    int fd = open_kept(folder, O_RDONLY);
    ssize_t got = -1;
    while (fd >= 0 && (got = read(fd, piece, sizeof piece)) > 0)
        if (!write_all(1, piece, (size_t)got)) return 1;
    if (got < 0) say(2, "raysweep-supervisor: cannot read what was kept: ", error_text(errno), "", "");
    return got < 0;
}
