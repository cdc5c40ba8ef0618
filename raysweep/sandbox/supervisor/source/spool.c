// Files in the spool folder. A task may be root and spoil them: nothing is followed, nothing blocks, all may fail.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int spool_folder = -1;
static const char *place;

bool spool_open(const char *path) {
    place = path;
    mkdir(path, 0711);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return false;
    if (spool_folder >= 0) close(spool_folder);
    spool_folder = fd;
    return true;
}

int spool_create(const char *name) {
    int flags = O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(spool_folder, name, flags, 0600);
    if (fd < 0 && errno == ENOENT && spool_open(place)) fd = openat(spool_folder, name, flags, 0600);
    if (fd < 0 && errno == EEXIST) {
        spool_remove(name);
        fd = openat(spool_folder, name, flags, 0600);
    }
    if (fd < 0 && (errno == ENOENT || errno == EBADF)) errno = EIO;  // ENOENT would say that a command is unknown
    return fd;
}

int spool_reopen(const char *name) {
    int fd = openat(spool_folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

int spool_nameless(void) {
    static int64_t counter;
    char text[26] = "b-", digits[24];
    char *from = number_text(++counter, digits), *to = text + 2;
    while ((*to++ = *from++)) {}
    int fd = spool_create(text);
    if (fd >= 0) spool_remove(text);
    return fd;
}

void spool_remove(const char *name) {
    if (unlinkat(spool_folder, name, 0) && errno == EISDIR) unlinkat(spool_folder, name, AT_REMOVEDIR);
}
