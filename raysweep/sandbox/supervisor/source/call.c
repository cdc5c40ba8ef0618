// `call`: standard input to the supervisor's socket and back. `copy`: the binary into a folder.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { PIECE = 1 << 16 };
#define CONNECT_US 10000000

struct way {  // one direction
    int from, to;
    size_t start, end;
    bool over;
    char data[PIECE];
};

static int connect_to(const char *name) {
    struct sockaddr_un address;
    socklen_t len = socket_name(name, &address);
    int64_t limit = boottime_us() + CONNECT_US;
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) return -1;
        if (!connect(fd, (struct sockaddr *)&address, len)) return fd;
        int error = errno;
        close(fd);
        errno = error;
        if ((error != ECONNREFUSED && error != EAGAIN) || boottime_us() > limit) return -1;
        poll(0, 0, 20);
    }
}

static bool would_block(void) { return errno == EAGAIN || errno == EINTR; }

static void move_on(struct way *way) {
    if (way->start == way->end) {
        ssize_t got = read(way->from, way->data, sizeof way->data);
        if (got < 0 && would_block()) return;
        way->over = got <= 0;
        way->start = 0;
        way->end = got > 0 ? (size_t)got : 0;
    }
    if (way->start == way->end) return;
    ssize_t done = write(way->to, way->data + way->start, way->end - way->start);
    if (done > 0) way->start += (size_t)done;
    if (done < 0 && !would_block()) way->over = true;
}

static struct pollfd wanted(const struct way *way) {
    bool full = way->start < way->end;
    return (struct pollfd){full ? way->to : way->from, full ? POLLOUT : POLLIN, 0};
}

int mode_call(const char *name) {
    static struct way in, out;
    int fd = connect_to(name);
    if (fd < 0) {
        say(2, "raysweep-supervisor: cannot reach ", name, ": ", error_text(errno));
        return 1;
    }
    for (int i = 0; i < 2; i++) fcntl(i, F_SETFL, fcntl(i, F_GETFL) | O_NONBLOCK);
    in.from = 0;
    in.to = out.from = fd;
    out.to = 1;
    while (!in.over && !out.over) {
        struct pollfd polled[3] = {wanted(&in), wanted(&out), {1, 0, 0}};
        if (poll(polled, 3, -1) < 0 && errno != EINTR) return 1;
        if (polled[0].revents) move_on(&in);
        if (polled[1].revents) move_on(&out);
        if (polled[2].revents & (POLLERR | POLLHUP)) return 0;  // nobody reads any more
    }
    explicit_bzero(&in, sizeof in);
    return 0;
}

int mode_copy(const char *folder) {
    struct stat st;
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int to = at < 0 ? -1 : openat(at, ".supervisor", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    bool done = from >= 0 && to >= 0 && !fstat(from, &st);
    for (off_t offset = 0; done && offset < st.st_size;) done = sendfile(to, from, &offset, (size_t)(st.st_size - offset)) > 0;
    done = done && !fchmod(to, 0555) && !close(to) && !renameat(at, ".supervisor", at, "supervisor");
    if (!done) say(2, "raysweep-supervisor: cannot copy to ", folder, ": ", error_text(errno));
    return done ? 0 : 1;
}
