// Tar out, robust against what a task does to its own files meanwhile. GNU format: long names by L and K blocks, large
// numbers in base 256. Hard links become files of their own.
#define _GNU_SOURCE
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { BLOCK = 512, MAX_DEPTH = 1024, MAX_PATH = 1 << 16 };

static int out;
static struct sha256 sha;
static uint64_t total, bound;  // bytes written; bytes that may be
static char name[MAX_PATH];
static char piece[1 << 16];
static size_t piece_len;

static int flush_piece(void) {
    sha256_add(&sha, piece, piece_len);
    if (!write_all(out, piece, piece_len)) return errno;
    total += piece_len;
    piece_len = 0;
    return 0;
}

static bool fits(uint64_t more) { return more <= bound && total + piece_len <= bound - more; }

static int emit(const void *data, size_t len) {
    if (!fits(len)) return EFBIG;
    for (const char *at = data; len;) {
        size_t use = sizeof piece - piece_len < len ? sizeof piece - piece_len : len;
        if (at) memcpy(piece + piece_len, at, use);
        else memset(piece + piece_len, 0, use);
        piece_len += use;
        len -= use;
        if (at) at += use;
        int error = piece_len == sizeof piece ? flush_piece() : 0;
        if (error) return error;
    }
    return 0;
}

static int padding(uint64_t size) { return emit(0, (BLOCK - size % BLOCK) % BLOCK); }

// ---- headers

static void put_number(char *at, int len, int64_t number) {
    if (number < 0 || (len < 12 && number >> 3 * (len - 1))) {
        for (int i = len; i--; number >>= 8) at[i] = (char)number;
        at[0] = number < 0 ? (char)0xff : (char)0x80;
        return;
    }
    if (number >> 33) {
        for (int i = len; i--; number >>= 8) at[i] = (char)number;
        at[0] = (char)0x80;
        return;
    }
    for (int i = len - 1; i--; number >>= 3) at[i] = (char)('0' + (number & 7));
}

static int emit_block(const char *text, size_t len, char type, const struct stat *st, const char *link) {
    char block[BLOCK] = {0};
    memcpy(block, text, len < 100 ? len : 100);
    put_number(block + 100, 8, st->st_mode & 07777);
    put_number(block + 108, 8, st->st_uid);
    put_number(block + 116, 8, st->st_gid);
    put_number(block + 124, 12, st->st_size);
    put_number(block + 136, 12, st->st_mtim.tv_sec);
    block[156] = type;
    memcpy(block + 157, link, strnlen(link, 100));
    memcpy(block + 257, "ustar  ", 8);
    if (type == '3' || type == '4') {
        put_number(block + 329, 8, major(st->st_rdev));
        put_number(block + 337, 8, minor(st->st_rdev));
    }
    memset(block + 148, ' ', 8);
    int64_t sum = 0;
    for (int i = 0; i < BLOCK; i++) sum += (uint8_t)block[i];
    put_number(block + 148, 7, sum);
    block[154] = 0;
    return emit(block, BLOCK);
}

static int emit_long(char type, const char *text) {
    struct stat st = {.st_mode = 0644, .st_size = (off_t)strlen(text) + 1};
    int error = emit_block("././@LongLink", 13, type, &st, "");
    if (!error) error = emit(text, (size_t)st.st_size);
    return error ? error : padding((uint64_t)st.st_size);
}

static int emit_header(char type, struct stat *st, const char *link) {
    size_t len = strlen(name);
    bool slash = type == '5';
    if (type != '0') st->st_size = 0;
    if (slash) {
        if (len + 2 > sizeof name) return ENAMETOOLONG;
        name[len] = '/';
        name[++len] = 0;
    }
    int error = strlen(link) > 100 ? emit_long('K', link) : 0;
    if (!error && len > 100) error = emit_long('L', name);
    if (!error) error = emit_block(name, len, type, st, link);
    if (slash) name[len - 1] = 0;
    return error;
}

// ---- entries

static bool gone(int error) { return error == ENOENT || error == ESTALE; }

static int open_own(int at, const char *leaf, int flags, mode_t mode, mode_t needed) {
    flags |= O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(at, leaf, flags);
    if (fd >= 0 || errno != EACCES || fchmodat(at, leaf, (mode & 07777) | needed, 0)) return fd;
    return openat(at, leaf, flags);
}

// The promised number of bytes, zeros where the file has no more.
static int emit_content(int fd, int64_t size) {
    static char data[1 << 16];
    while (size > 0) {
        size_t want = size < (int64_t)sizeof data ? (size_t)size : sizeof data;
        ssize_t got = read(fd, data, want);
        if (got < 0) return errno;
        int error = got ? emit(data, (size_t)got) : emit(0, want);
        if (error) return error;
        size -= got ? got : (ssize_t)want;
    }
    return 0;
}

static int pack_file(int at, const char *leaf, mode_t mode) {
    struct stat st;
    int fd = open_own(at, leaf, 0, mode, S_IRUSR);
    if (fd < 0) return gone(errno) ? 0 : errno;
    int error = fstat(fd, &st) ? errno : 0;
    if (!error && S_ISREG(st.st_mode)) {
        st.st_mode = mode;
        error = fits((uint64_t)st.st_size) ? emit_header('0', &st, "") : EFBIG;
        if (!error) error = emit_content(fd, st.st_size);
        if (!error) error = padding((uint64_t)st.st_size);
    }
    close(fd);
    return error;
}

static int pack_link(int at, const char *leaf, struct stat *st) {
    static char target[4097];
    ssize_t len = readlinkat(at, leaf, target, sizeof target - 1);
    if (len < 0) return gone(errno) || errno == EINVAL ? 0 : errno;
    target[len] = 0;
    return emit_header('2', st, target);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int list(DIR *folder, char ***names, size_t *count) {
    size_t room = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (*count == room) {
            char **grown = realloc(*names, (room = room * 2 + 64) * sizeof **names);
            if (!grown) return ENOMEM;
            *names = grown;
        }
        if (!((*names)[*count] = strdup(entry->d_name))) return ENOMEM;
        ++*count;
    }
    if (*count) qsort(*names, *count, sizeof **names, by_name);
    return 0;
}

static int pack_entry(int at, const char *leaf, int depth);

static int pack_below(int fd, int depth) {
    char **names = 0;
    size_t count = 0, len = strlen(name);
    DIR *folder = fdopendir(fd);
    int error = folder ? list(folder, &names, &count) : errno;
    for (size_t i = 0; i < count; i++) {
        size_t more = strlen(names[i]);
        if (!error && len + more + 2 > sizeof name) error = ENAMETOOLONG;
        if (!error) {
            name[len] = '/';
            memcpy(name + len + 1, names[i], more + 1);
            error = pack_entry(fd, names[i], depth + 1);
            name[len] = 0;
        }
        free(names[i]);
    }
    free(names);
    if (folder) closedir(folder);
    else close(fd);
    return error;
}

static int pack_folder(int at, const char *leaf, struct stat *st, int depth) {
    if (depth > MAX_DEPTH) return ENAMETOOLONG;
    int fd = open_own(at, leaf, O_DIRECTORY, st->st_mode, S_IRUSR | S_IXUSR);
    if (fd < 0) return gone(errno) || errno == ENOTDIR ? 0 : errno;
    int error = emit_header('5', st, "");
    if (!error) return pack_below(fd, depth);
    close(fd);
    return error;
}

static int pack_entry(int at, const char *leaf, int depth) {
    struct stat st;
    if (fstatat(at, leaf, &st, AT_SYMLINK_NOFOLLOW)) return gone(errno) ? 0 : errno;
    switch (st.st_mode & S_IFMT) {
        case S_IFREG: return pack_file(at, leaf, st.st_mode);
        case S_IFDIR: return pack_folder(at, leaf, &st, depth);
        case S_IFLNK: return pack_link(at, leaf, &st);
        case S_IFIFO: return emit_header('6', &st, "");
        case S_IFCHR: return emit_header('3', &st, "");
        case S_IFBLK: return emit_header('4', &st, "");
        default: return 0;  // a socket
    }
}

int pack(const char *path, int fd, uint64_t limit, uint64_t *size, uint8_t digest[32]) {
    size_t len = strlen(path);
    char *copy = strdup(path);
    if (!copy) return ENOMEM;
    while (len && copy[len - 1] == '/') copy[--len] = 0;
    char *slash = strrchr(copy, '/'), *leaf = slash ? slash + 1 : copy;
    if (strlen(leaf) + 2 > sizeof name) return ENAMETOOLONG;
    if (slash) *slash = 0;
    int at = open(slash && *copy ? copy : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    strcpy(name, *leaf ? leaf : ".");
    if (at < 0 || fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW)) return errno;
    out = fd;
    bound = limit;
    sha256_init(&sha);
    int error = pack_entry(at, *leaf ? leaf : ".", 0);
    if (!error) error = emit(0, 2 * BLOCK);
    if (!error) error = flush_piece();
    sha256_end(&sha, digest);
    *size = total;
    return error;
}
