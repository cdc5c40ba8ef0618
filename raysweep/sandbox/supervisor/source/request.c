// What a frame asks for: the table of operations. A first frame that is no hello ends the connection.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool stop_asked;

static void hello(struct connection *c, const char *id, char **fields) {
    char ours[65];
    if (c->keyed || strlen(fields[0]) > MAX_ID || !seal_admits(fields[1]) || !seal_begin_stream(c, fields[0], ours)) {
        connection_close(c);
        return;
    }
    struct buffer head;
    reply_begin(&head, id, "ok");
    reply_field(&head, "2");
    reply_number(&head, getpid());
    reply_number(&head, boottime_us());
    reply_number(&head, realtime_us());
    reply_number(&head, getuid());
    reply_number(&head, cgroup_version());
    reply_field(&head, ours);
    reply_send(c, &head, 0, 0);
}

static void clock_now(struct connection *c, const char *id) {
    struct buffer head;
    reply_begin(&head, id, "ok");
    reply_number(&head, boottime_us());
    reply_number(&head, realtime_us());
    reply_send(c, &head, 0, 0);
}

// The environment that image and platform gave to process 1.
static void environment(struct connection *c, const char *id) {
    struct buffer head, body = {0};
    reply_begin(&head, id, "ok");
    for (char **at = environ; at && *at; at++) buffer_add(&body, *at, strlen(*at) + 1);
    head.failed |= body.failed;
    reply_send(c, &head, &(struct part){body.data, -1, 0, body.len}, 1);
}

static void stop(struct connection *c, const char *id) {
    struct buffer head;
    reply_begin(&head, id, "ok");
    reply_send(c, &head, 0, 0);
    stop_asked = true;
}

static void spool_file(struct connection *c, const char *id, const char *name, int64_t offset, int64_t length) {
    if (!*name || strchr(name, '/') || offset < 0 || length < 0) {
        reply_error(c, id, EINVAL, 0);
        return;
    }
    int fd = spool_reopen(name);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        int error = errno;
        if (fd >= 0) close(fd);
        reply_error(c, id, error, 0);
        return;
    }
    int64_t left = offset < st.st_size ? st.st_size - offset : 0;
    struct buffer head;
    reply_begin(&head, id, "ok");
    reply_number(&head, st.st_size);
    reply_send(c, &head, &(struct part){0, fd, (uint64_t)offset, (uint64_t)(length < left ? length : left)}, 1);
}

// Operations whose arguments are a fixed number of fields; of these the last `numbers` are decimal.
static const struct operation {
    const char *name;
    int texts, numbers;
} operations[] = {
    {"hello", 2, 0}, {"clock", 0, 0},    {"environment", 0, 0}, {"wait", 1, 2}, {"read", 2, 2}, {"kill", 1, 0},
    {"put", 2, 0},   {"get", 1, 1},      {"counters", 0, 0},    {"samples", 0, 1}, {"file", 1, 2}, {"stop", 0, 0},
};

static const struct operation *find_operation(const char *name) {
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (!strcmp(operations[i].name, name)) return &operations[i];
    return 0;
}

static void handle_fixed(struct connection *c, const char *id, const char *op, char **fields, size_t count) {
    const struct operation *operation = find_operation(op);
    int64_t numbers[2] = {0};
    if (!operation) {
        reply_error(c, id, ENOSYS, "no such operation");
        return;
    }
    bool fits = count == (size_t)(operation->texts + operation->numbers);
    for (int i = 0; fits && i < operation->numbers; i++) fits = parse_number(fields[operation->texts + i], &numbers[i]);
    if (!fits)
        reply_error(c, id, EINVAL, "malformed arguments");
    else if (!strcmp(op, "hello"))
        hello(c, id, fields);
    else if (!strcmp(op, "clock"))
        clock_now(c, id);
    else if (!strcmp(op, "environment"))
        environment(c, id);
    else if (!strcmp(op, "wait"))
        command_wait(c, id, fields[0], numbers[0], numbers[1]);
    else if (!strcmp(op, "read"))
        command_read(c, id, fields[0], fields[1], numbers[0], numbers[1]);
    else if (!strcmp(op, "kill"))
        command_kill(c, id, fields[0]);
    else if (!strcmp(op, "put"))
        c->incoming = transfer_put_begin(c, id, fields[0], fields[1]);
    else if (!strcmp(op, "get"))
        transfer_get(c, id, fields[0], numbers[0]);
    else if (!strcmp(op, "counters"))
        cgroup_counters(c, id);
    else if (!strcmp(op, "samples"))
        samples_send(c, id, numbers[0]);
    else if (!strcmp(op, "file"))
        spool_file(c, id, fields[0], numbers[0], numbers[1]);
    else
        stop(c, id);
}

void request_handle(struct connection *c, char *head, size_t len, uint64_t body) {
    size_t count = 1;
    for (size_t i = 0; i < len; i++) count += !head[i];
    if (count < 2 || count > MAX_FIELDS || !*head || strlen(head) > MAX_ID) {
        connection_close(c);
        return;
    }
    char **fields = malloc(count * sizeof *fields);
    if (!fields) {
        connection_close(c);
        return;
    }
    char *at = head;
    for (size_t i = 0; i < count; i++, at += strlen(at) + 1) fields[i] = at;
    const char *op = fields[1];
    if ((!c->authenticated && strcmp(op, "hello")) || (body && strcmp(op, "put")))
        connection_close(c);
    else if (!strcmp(op, "exec"))
        command_exec(c, head, fields + 2, count - 2);
    else
        handle_fixed(c, head, op, fields + 2, count - 2);
    free(fields);
}
