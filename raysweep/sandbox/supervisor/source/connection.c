// Clients on the socket: frames in, replies out. Nothing blocks; a client that errs or talks nonsense is dropped.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 512, MAX_STRANGERS = 64, AT_ONCE = 32, PIECE = 1 << 16, TURN = 1 << 18 };
#define STRANGER_US 60000000  // a client that does not say hello for so long is dropped

struct chunk {
    struct chunk *next;
    char *data;
    int fd;
    uint64_t offset, left;
    bool first, seal, made;  // first, seal: of a frame; the bytes of a seal are made when its turn comes
};

struct connection *connections;
static char piece[PIECE];

static void admit(int fd) {
    int total = 0, strangers = 0;
    struct connection *oldest = 0, *c;
    for (c = connections; c; c = c->next) {  // newest first
        if (c->dead) continue;
        total++;
        if (c->authenticated) continue;
        strangers++;
        oldest = c;
    }
    if (oldest && (strangers >= MAX_STRANGERS || total >= MAX_CONNECTIONS)) connection_close(oldest);
    if ((!oldest && total >= MAX_CONNECTIONS) || !(c = calloc(1, sizeof *c))) {
        close(fd);
        return;
    }
    c->fd = fd;
    c->since = boottime_us();
    c->next = connections;
    connections = c;
}

void connection_accept(int listener) {
    for (int i = 0; i < AT_ONCE; i++) {
        int fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        admit(fd);
    }
}

void connection_close(struct connection *c) {
    if (c->dead) return;
    c->dead = true;
    close(c->fd);
    c->fd = -1;
    commands_forget(c);
    transfer_forget(c);
    if (c->incoming) transfer_put_abort(c->incoming);
    c->incoming = 0;
}

static void chunk_free(struct chunk *chunk) {
    if (chunk->fd >= 0) close(chunk->fd);
    free(chunk->data);
    free(chunk);
}

static void forget_head(struct connection *c) {
    if (c->head) explicit_bzero(c->head, c->head_cap);
    free(c->head);
    c->head = 0;
    c->head_cap = 0;
}

void connections_tidy(int64_t now) {
    for (struct connection **at = &connections; *at;) {
        struct connection *c = *at;
        if (!c->authenticated && now - c->since > STRANGER_US) connection_close(c);
        if (!c->dead) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        explicit_bzero(&c->in, sizeof c->in);
        explicit_bzero(&c->out, sizeof c->out);
        while (c->first) {
            struct chunk *next = c->first->next;
            chunk_free(c->first);
            c->first = next;
        }
        forget_head(c);
        free(c);
    }
}

bool connections_quiet(void) {
    for (struct connection *c = connections; c; c = c->next)
        if (!c->dead && c->authenticated) return false;
    return true;
}

void connections_forget_in_child(void) {
    for (struct connection *c = connections; c; c = c->next)
        if (!c->dead) close(c->fd);
}

// ---- frames in

static uint64_t big_endian(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    while (bytes--) value = value << 8 | *at++;
    return value;
}

static bool begin_frame(struct connection *c) {
    c->head_want = big_endian(c->header, 4);
    c->body_left = big_endian(c->header + 4, 8);
    c->head_len = 0;
    if (!c->head_want || c->head_want > MAX_HEAD || c->body_left > MAX_BODY) return false;
    if (!c->authenticated && (c->head_want > MAX_HELLO || c->body_left)) return false;
    if (c->keyed) {
        seal_open(&c->in);
        seal_add(&c->in, c->header, sizeof c->header);
    }
    return true;
}

static bool add_to_head(struct connection *c, const char *data, size_t len) {
    if (c->head_len + len + 1 > c->head_cap) {  // grows with what arrives, not with what is announced
        size_t cap = (c->head_len + len) * 2 + 1;
        char *grown = realloc(c->head, cap);
        if (!grown) return false;
        c->head = grown;
        c->head_cap = cap;
    }
    memcpy(c->head + c->head_len, data, len);
    c->head_len += len;
    c->head[c->head_len] = 0;
    return true;
}

// A body is taken as it comes, and used when the seal behind it fits.
static void head_complete(struct connection *c) {
    if (!c->body_left) return;
    request_handle(c, c->head, c->head_len, c->body_left);
    forget_head(c);
}

static void frame_complete(struct connection *c) {
    uint8_t wanted[32];
    if (c->keyed) {
        seal_close(&c->in, wanted);
        if (!same_bytes(wanted, c->trailer, sizeof wanted)) {
            connection_close(c);
            return;
        }
        c->authenticated = true;
    }
    c->header_len = c->trailer_len = 0;
    if (c->head) request_handle(c, c->head, c->head_len, 0);
    forget_head(c);
    if (!c->dead && c->incoming) transfer_put_end(c->incoming);
    c->incoming = 0;
}

static size_t smaller(uint64_t a, size_t b) { return a < b ? (size_t)a : b; }

// Use some of the bytes; how many.
static size_t take_some(struct connection *c, const char *data, size_t len) {
    size_t use;
    if (c->header_len < sizeof c->header) {
        use = smaller(sizeof c->header - c->header_len, len);
        memcpy(c->header + c->header_len, data, use);
        c->header_len += use;
        if (c->header_len == sizeof c->header && !begin_frame(c)) connection_close(c);
        return use;
    }
    if (c->head_len >= c->head_want && !c->body_left) {
        use = smaller(sizeof c->trailer - c->trailer_len, len);
        memcpy(c->trailer + c->trailer_len, data, use);
        c->trailer_len += use;
        if (c->trailer_len == sizeof c->trailer) frame_complete(c);
        return use;
    }
    bool in_head = c->head_len < c->head_want;
    use = smaller(in_head ? c->head_want - c->head_len : c->body_left, len);
    if (c->keyed) seal_add(&c->in, data, use);
    if (!in_head) {
        if (c->incoming) transfer_put_data(c->incoming, data, use);
        c->body_left -= use;
    } else if (!add_to_head(c, data, use)) {
        connection_close(c);
    } else if (c->head_len == c->head_want) {
        head_complete(c);
    }
    return use;
}

static void take(struct connection *c, const char *data, size_t len) {
    while (len && !c->dead) {
        size_t used = take_some(c, data, len);
        data += used;
        len -= used;
    }
}

void connection_read(struct connection *c) {
    for (size_t total = 0; total < TURN && !c->dead;) {
        ssize_t got = recv(c->fd, piece, sizeof piece, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) {
            connection_close(c);
            return;
        }
        take(c, piece, (size_t)got);
        explicit_bzero(piece, (size_t)got);
        total += (size_t)got;
    }
}

// ---- replies out

void reply_begin(struct buffer *head, const char *id, const char *status) {
    *head = (struct buffer){0};
    buffer_add(head, (char[12]){0}, 12);
    buffer_text(head, id);
    reply_field(head, status);
}

void reply_field(struct buffer *head, const char *text) {
    buffer_add(head, "", 1);
    buffer_text(head, text);
}

void reply_number(struct buffer *head, int64_t number) {
    char text[24];
    reply_field(head, number_text(number, text));
}

static struct chunk *queue(struct connection *c, char *data, int fd, uint64_t offset, uint64_t len) {
    struct chunk *chunk = c->dead ? 0 : malloc(sizeof *chunk);
    if (!chunk) {
        free(data);
        if (fd >= 0) close(fd);
        connection_close(c);
        return 0;
    }
    *chunk = (struct chunk){.data = data, .fd = fd, .offset = offset, .left = len};
    if (c->first)
        c->last->next = chunk;
    else
        c->first = chunk;
    return c->last = chunk;
}

void reply_send(struct connection *c, struct buffer *head, struct part *parts, size_t count) {
    uint64_t body = 0;
    for (size_t i = 0; i < count; i++) body += parts[i].len;
    if (head->failed || !c->keyed) {
        connection_close(c);
    } else {
        uint64_t len = head->len - 12;
        for (int i = 0; i < 4; i++) head->data[i] = (char)(len >> (24 - 8 * i));
        for (int i = 0; i < 8; i++) head->data[4 + i] = (char)(body >> (56 - 8 * i));
    }
    struct chunk *first = queue(c, head->data, -1, 0, head->len);
    if (first) first->first = true;
    for (size_t i = 0; i < count; i++) queue(c, parts[i].data, parts[i].fd, parts[i].offset, parts[i].len);
    struct chunk *last = queue(c, malloc(32), -1, 0, 32);
    if (last) last->seal = true;
    if (last && !last->data) connection_close(c);
    *head = (struct buffer){0};
}

void reply_error(struct connection *c, const char *id, int number, const char *text) {
    struct buffer head;
    reply_begin(&head, id, "error");
    reply_number(&head, number);
    reply_field(&head, text ? text : error_text(number));
    reply_send(c, &head, 0, 0);
}

// One piece of a chunk. A file that has shrunk is filled up with zeros: the length is promised already.
static ssize_t send_piece(struct connection *c, struct chunk *chunk) {
    const char *from = chunk->data + chunk->offset;
    size_t want = chunk->left < sizeof piece ? (size_t)chunk->left : sizeof piece;
    if (chunk->first) seal_open(&c->out);
    if (chunk->seal && !chunk->made) seal_close(&c->out, (uint8_t *)chunk->data);
    chunk->first = false;
    chunk->made = true;
    if (chunk->fd >= 0) {
        ssize_t got = pread(chunk->fd, piece, want, (off_t)chunk->offset);
        if (got <= 0) memset(piece, 0, want);
        if (got > 0) want = (size_t)got;
        from = piece;
    }
    ssize_t sent = send(c->fd, from, want, MSG_NOSIGNAL);
    if (sent > 0 && !chunk->seal) seal_add(&c->out, from, (size_t)sent);
    return sent;
}

void connection_write(struct connection *c) {
    c->blocked = false;
    for (uint64_t total = 0; c->first && !c->dead && total < TURN;) {
        struct chunk *chunk = c->first;
        if (chunk->left) {
            ssize_t sent = send_piece(c, chunk);
            if (sent < 0 && errno == EINTR) continue;
            if (sent < 0 && errno == EAGAIN) {
                c->blocked = true;
                return;
            }
            if (sent < 0) {
                connection_close(c);
                return;
            }
            chunk->offset += (uint64_t)sent;
            chunk->left -= (uint64_t)sent;
            total += (uint64_t)sent;
        }
        if (!chunk->left) {
            c->first = chunk->next;
            chunk_free(chunk);
        }
    }
}
