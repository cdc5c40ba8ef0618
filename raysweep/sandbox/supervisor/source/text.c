// Numbers as text, growing buffers, small files, clocks. No printf: it would be a third of the binary.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void buffer_add(struct buffer *b, const void *data, size_t len) {
    if (b->failed) return;
    if (b->len + len > b->cap) {
        size_t cap = (b->len + len) * 2 + 64;
        char *grown = realloc(b->data, cap);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->data = grown;
        b->cap = cap;
    }
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
}

void buffer_text(struct buffer *b, const char *text) { buffer_add(b, text, strlen(text)); }

void buffer_number(struct buffer *b, int64_t number) {
    char text[24];
    buffer_text(b, number_text(number, text));
}

void buffer_free(struct buffer *b) {
    free(b->data);
    *b = (struct buffer){0};
}

char *number_text(int64_t number, char out[24]) {
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char *at = out + 23;
    *at = 0;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) *--at = '-';
    return at;
}

static bool digits(const char **text, int64_t *out) {
    const char *at = *text;
    bool negative = *at == '-';
    if (negative) at++;
    if (*at < '0' || *at > '9') return false;
    uint64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > (uint64_t)INT64_MAX / 10 - 1) return false;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    *out = negative ? -(int64_t)value : (int64_t)value;
    *text = at;
    return true;
}

bool parse_number(const char *text, int64_t *out) { return digits(&text, out) && !*text; }

int64_t number_after(const char *text, const char *key) {
    size_t len = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, key, len) || (line[len] != ' ' && line[len] != ':')) continue;
        const char *at = line + len + 1;
        while (*at == ' ') at++;
        int64_t value;
        return digits(&at, &value) ? value : -1;
    }
    return -1;
}

ssize_t read_at(int folder, const char *name, char *out, size_t cap) {
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -1;
    size_t len = 0;
    ssize_t got = 1;
    while (len < cap - 1 && (got = read(fd, out + len, cap - 1 - len)) > 0) len += (size_t)got;
    int error = errno;
    close(fd);
    out[len] = 0;
    errno = error;
    return got < 0 ? -1 : (ssize_t)len;
}

bool write_all(int fd, const void *data, size_t len) {
    const char *at = data;
    while (len) {
        ssize_t done = write(fd, at, len);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        at += done;
        len -= (size_t)done;
    }
    return true;
}

void say(int fd, const char *first, const char *second, const char *third, const char *fourth) {
    struct buffer line = {0};
    buffer_text(&line, first);
    buffer_text(&line, second);
    buffer_text(&line, third);
    buffer_text(&line, fourth);
    buffer_text(&line, "\n");
    if (!line.failed) write_all(fd, line.data, line.len);
    buffer_free(&line);
}

const char *error_text(int number) { return strerror(number); }

static int64_t clock_us(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t boottime_us(void) { return clock_us(CLOCK_BOOTTIME); }

int64_t realtime_us(void) { return clock_us(CLOCK_REALTIME); }
