// Tar in: ustar, GNU and pax names. What stands in a member's place is replaced, never written through.
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

enum { BLOCK = 512, MAX_EXTENSION = 1 << 20 };

struct member {
    char *name, *link;
    char type;
    mode_t mode;
    int64_t size;
    struct timespec mtime;
    int64_t major, minor;
};

struct folder {  // modes and times of folders are set last, or nothing could be put into a closed one
    struct folder *next;
    char *name;
    mode_t mode;
    struct timespec mtime;
};

static int archive, base;
static struct folder *folders;
static char piece[1 << 16];
static size_t piece_at, piece_len;

static ssize_t some(const char **data, size_t most) {
    if (piece_at == piece_len) {
        ssize_t got = read(archive, piece, sizeof piece);
        if (got <= 0) return got;
        piece_at = 0;
        piece_len = (size_t)got;
    }
    size_t len = piece_len - piece_at < most ? piece_len - piece_at : most;
    *data = piece + piece_at;
    piece_at += len;
    return (ssize_t)len;
}

// Take `size` bytes: into memory, into a file, or nowhere. 0 or errno.
static int take(int64_t size, char *memory, int fd) {
    while (size > 0) {
        const char *data;
        ssize_t len = some(&data, size < BLOCK * 128 ? (size_t)size : BLOCK * 128);
        if (len <= 0) return len ? errno : EBADMSG;
        if (memory) {
            memcpy(memory, data, (size_t)len);
            memory += len;
        }
        if (fd >= 0 && !write_all(fd, data, (size_t)len)) return errno;
        size -= len;
    }
    return 0;
}

static int padding(int64_t size) { return take((BLOCK - size % BLOCK) % BLOCK, 0, -1); }

// ---- headers

static bool field_number(const char *at, size_t len, int64_t *out) {
    const uint8_t *bytes = (const uint8_t *)at;
    if (*bytes & 0x80) {  // base 256
        uint64_t value = *bytes == 0xff ? UINT64_MAX : 0;
        for (size_t i = 1; i < len; i++) value = value << 8 | bytes[i];
        *out = (int64_t)value;
        return true;
    }
    int64_t value = 0;
    size_t i = 0;
    while (i < len && at[i] == ' ') i++;
    for (; i < len && at[i] >= '0' && at[i] <= '7'; i++) value = value << 3 | (at[i] - '0');
    *out = value;
    return i == len || !at[i] || at[i] == ' ';
}

static bool sum_fits(const char *block) {
    int64_t told, sum = 0, signed_sum = 0;
    for (int i = 0; i < BLOCK; i++) {
        char byte = i >= 148 && i < 156 ? ' ' : block[i];
        sum += (uint8_t)byte;
        signed_sum += (signed char)byte;
    }
    return field_number(block + 148, 8, &told) && (told == sum || told == signed_sum);
}

static bool set_text(char **place, const char *text, size_t len) {
    free(*place);
    *place = malloc(len + 1);
    if (!*place) return false;
    memcpy(*place, text, len);
    (*place)[len] = 0;
    return true;
}

static int parse_header(const char *block, struct member *m, char type) {
    int64_t mode, seconds;
    size_t len = strnlen(block, 100), prefix = strnlen(block + 345, 155);
    char name[300];
    if (memcmp(block + 257, "ustar", 6)) prefix = 0;
    memcpy(name, block + 345, prefix);
    if (prefix) name[prefix++] = '/';
    memcpy(name + prefix, block, len);
    m->type = type;
    if (!field_number(block + 100, 8, &mode) || !field_number(block + 136, 12, &seconds)) return EBADMSG;
    m->mode = (mode_t)(mode & 07777);
    m->mtime = (struct timespec){seconds, 0};
    if (!field_number(block + 329, 8, &m->major) || !field_number(block + 337, 8, &m->minor)) m->major = m->minor = 0;
    if (!set_text(&m->name, name, prefix + len)) return ENOMEM;
    return set_text(&m->link, block + 157, strnlen(block + 157, 100)) ? 0 : ENOMEM;
}

static struct timespec parse_time(const char *text) {
    struct timespec t = {strtoll(text, 0, 10), 0};
    const char *dot = strchr(text, '.');
    long unit = 100000000;
    for (; dot && dot[1] >= '0' && dot[1] <= '9' && unit; dot++, unit /= 10) t.tv_nsec += (dot[1] - '0') * unit;
    if (*text == '-' && t.tv_nsec && t.tv_sec > INT64_MIN) {
        t.tv_sec--;
        t.tv_nsec = 1000000000 - t.tv_nsec;
    }
    return t;
}

struct extension {  // what came before a member and overrides its header
    char *name, *link, *size, *mtime;
};

static bool parse_pax(char *text, size_t len, struct extension *e) {
    for (char *end = text + len; text < end;) {
        char *key;
        long long record = strtoll(text, &key, 10);
        if (record <= 0 || record > end - text || *key != ' ' || key >= text + record) return false;
        key++;
        char *value = memchr(key, '=', (size_t)(text + record - key));
        if (!value || value == text + record - 1) return false;  // a record ends with a newline after its value
        size_t size = (size_t)(text + record - 1 - ++value);
        char **place = !strncmp(key, "path=", 5)       ? &e->name
                       : !strncmp(key, "linkpath=", 9) ? &e->link
                       : !strncmp(key, "size=", 5)     ? &e->size
                       : !strncmp(key, "mtime=", 6)    ? &e->mtime
                                                       : 0;
        if (!strncmp(key, "GNU.sparse.", 11) || (place && !set_text(place, value, size))) return false;
        text += record;
    }
    return true;
}

static void move_text(char **to, char **from) {
    if (!*from) return;
    free(*to);
    *to = *from;
    *from = 0;
}

static int take_extension(char type, int64_t size, struct extension *e) {
    if (size > MAX_EXTENSION) return ENAMETOOLONG;
    char *text = calloc(1, (size_t)size + 1);
    if (!text) return ENOMEM;
    int error = take(size, text, -1);
    if (!error) error = padding(size);
    if (!error && type == 'x' && !parse_pax(text, (size_t)size, e)) error = EBADMSG;
    if (!error && type == 'L') move_text(&e->name, &text);
    if (!error && type == 'K') move_text(&e->link, &text);
    free(text);
    return error;
}

static int apply_extension(struct member *m, struct extension *e) {
    if (e->size && (!parse_number(e->size, &m->size) || m->size < 0)) return EBADMSG;
    if (e->mtime) m->mtime = parse_time(e->mtime);
    move_text(&m->name, &e->name);
    move_text(&m->link, &e->link);
    free(e->size);
    free(e->mtime);
    *e = (struct extension){0};
    return 0;
}

// The next member's header with its extensions. 0, errno, or -1 at the end.
static int next_member(struct member *m) {
    struct extension e = {0};
    for (;;) {
        char block[BLOCK];
        const char *start;
        ssize_t first = some(&start, 1);
        if (first <= 0) return first ? errno : -1;
        block[0] = *start;
        int error = take(BLOCK - 1, block + 1, -1);
        if (error) return error;
        if (!block[0] && !memcmp(block, block + 1, BLOCK - 1)) return -1;
        if (!sum_fits(block) || !field_number(block + 124, 12, &m->size) || m->size < 0) return EBADMSG;
        char type = block[156];
        if (strchr("LKxXg", type) && type) {
            error = take_extension(type, m->size, &e);
            if (error) return error;
            continue;
        }
        error = parse_header(block, m, type);
        return error ? error : apply_extension(m, &e);
    }
}

// ---- places

static char *clean(char *name) {
    while (*name == '/' || (*name == '.' && name[1] == '/')) name++;
    size_t len = strlen(name);
    while (len && name[len - 1] == '/') name[--len] = 0;
    if (!strcmp(name, ".")) *name = 0;
    for (const char *at = name; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (at[0] == '.' && at[1] == '.' && (!at[2] || at[2] == '/')) return 0;
    }
    return name;
}

static int open_folder(int at, const char *name, bool make) {
    int flags = O_PATH | O_DIRECTORY | O_CLOEXEC, fd = openat(at, name, flags);
    if (fd >= 0 || errno != ENOENT || !make) return fd;
    if (mkdirat(at, name, 0755) && errno != EEXIST) return -1;
    return openat(at, name, flags);
}

// The folder that holds the last part of `path` (`*leaf`), made where it is missing; a descriptor to close, or -1.
static int open_parent(int from, char *path, char **leaf) {
    int fd = openat(from, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (char *slash; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        *slash = 0;
        int below = *path ? open_folder(fd, path, true) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
        *slash = '/';
        int error = errno;
        close(fd);
        fd = below;
        errno = error;
    }
    *leaf = path;
    return fd;
}

static int remove_tree(int at, const char *name) {
    if (!unlinkat(at, name, 0) || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return errno;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno;
    DIR *folder = fdopendir(fd);
    if (!folder) return errno;
    int error = 0;
    for (struct dirent *entry; !error && (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) error = remove_tree(fd, entry->d_name);
    closedir(folder);
    return error || !unlinkat(at, name, AT_REMOVEDIR) ? error : errno;
}

// ---- members

static int put_file(int parent, const char *leaf, const struct member *m) {
    int fd = openat(parent, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return errno;
    int error = take(m->size, 0, fd);
    struct timespec times[2] = {m->mtime, m->mtime};
    if (!error && fchmod(fd, m->mode)) error = errno;
    if (!error) futimens(fd, times);
    if (close(fd) && !error) error = errno;
    return error ? error : padding(m->size);
}

static int remember_folder(const struct member *m, const char *name) {
    struct folder *f = calloc(1, sizeof *f);
    if (!f || !set_text(&f->name, *name ? name : ".", *name ? strlen(name) : 1)) return ENOMEM;
    f->mode = m->mode;
    f->mtime = m->mtime;
    f->next = folders;
    folders = f;
    return 0;
}

static int put_folder(int parent, const char *leaf, const struct member *m, const char *name) {
    if (*leaf && mkdirat(parent, leaf, 0700)) {
        if (errno != EEXIST) return errno;
        fchmodat(parent, leaf, m->mode | 0700, 0);
    }
    return remember_folder(m, name);
}

static int put_special(int parent, const char *leaf, struct member *m) {
    struct timespec times[2] = {m->mtime, m->mtime};
    int error = 0;
    char *target = m->link;
    if (m->type == '1') {
        char *target_leaf;
        if (!(target = clean(target)) || !*target) return EINVAL;
        int from = open_parent(base, target, &target_leaf);
        if (from < 0) return errno;
        if (linkat(from, target_leaf, parent, leaf, 0)) error = errno;
        close(from);
        return error;
    }
    mode_t kind = m->type == '3' ? S_IFCHR : m->type == '4' ? S_IFBLK : S_IFIFO;
    if (m->type == '2')
        error = symlinkat(target, parent, leaf) ? errno : 0;
    else
        error = mknodat(parent, leaf, kind | m->mode, makedev((unsigned)m->major, (unsigned)m->minor)) ? errno : 0;
    if (!error) utimensat(parent, leaf, times, AT_SYMLINK_NOFOLLOW);
    return error;
}

static int put_member(struct member *m) {
    size_t len = strlen(m->name);
    if (!m->type || m->type == '7') m->type = '0';
    if (m->type == '0' && len && m->name[len - 1] == '/') m->type = '5';
    if (!strchr("0123456", m->type)) return EOPNOTSUPP;
    char *name = clean(m->name), *leaf;
    if (!name || (!*name && m->type != '5')) return EINVAL;
    int parent = open_parent(base, name, &leaf);
    if (parent < 0) return errno;
    struct stat st;
    int error = 0;
    bool there = *leaf && !fstatat(parent, leaf, &st, AT_SYMLINK_NOFOLLOW);
    if (there && !(m->type == '5' && S_ISDIR(st.st_mode))) error = remove_tree(parent, leaf);
    if (!error) {
        error = m->type == '0'   ? put_file(parent, leaf, m)
                : m->type == '5' ? put_folder(parent, leaf, m, name)
                                 : put_special(parent, leaf, m);
    }
    close(parent);
    return error;
}

static int close_folders(void) {
    int error = 0;
    for (struct folder *f = folders; f; f = f->next) {
        char *leaf;
        struct timespec times[2] = {f->mtime, f->mtime};
        struct stat st;
        int parent = open_parent(base, f->name, &leaf);
        if (parent < 0) return errno;
        // a later member may have replaced it
        if (!fstatat(parent, leaf, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode)) {
            if (fchmodat(parent, leaf, f->mode, 0)) error = errno;
            utimensat(parent, leaf, times, 0);
        }
        close(parent);
    }
    return error;
}

int unpack(int fd, const char *dest) {
    char *path = 0, *leaf;
    struct member m = {0};
    archive = fd;
    umask(0);
    if (!set_text(&path, dest, strlen(dest))) return ENOMEM;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), parent = root < 0 ? -1 : open_parent(root, path, &leaf);
    if (parent < 0) return errno;
    base = *leaf ? open_folder(parent, leaf, true) : fcntl(parent, F_DUPFD_CLOEXEC, 3);
    if (base < 0) return errno;
    int error;
    while (!(error = next_member(&m)))
        if ((error = put_member(&m))) break;
    if (error > 0) return error;
    return close_folders();
}
