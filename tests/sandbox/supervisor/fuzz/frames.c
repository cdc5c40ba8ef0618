// Fuzz target of the frames: ITERATIONS SEED SPOOL feeds connections with requests that are true, malformed or cut, in
// pieces, through the real reader, table of operations, commands, transfers and replies. Nothing is started: fork and
// kill are stand-ins, and processes "end" as the draws say. A sanitizer ends it; else exit 0.
#define _GNU_SOURCE
#include "fuzz.h"
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SEAL = 32, CLIENTS = 4, MOST = 1 << 16, PROCESSES = 64 };
static const char TOKEN[] = "secret";
static pid_t running[PROCESSES];
static int next_pid = 1000;
static uint8_t frame[MOST];

// ---- a stand-in for seals: keys are not looked for, only what comes behind a seal that fits

bool same_bytes(const void *a, const void *b, size_t len) {
    (void)a, (void)b, (void)len;
    return below(30);
}

static bool admitted;
bool seal_admits(const char *token) { return admitted = admitted || !strcmp(token, TOKEN); }
bool seal_known(void) { return admitted; }
void seal_keeper_proof(char out[65]) { memset(out, 'p', 65); }
void seal_forget(void) {}
void seal_open(struct seal *seal) { seal->count++; }
void seal_add(struct seal *seal, const void *data, size_t len) { (void)seal, (void)data, (void)len; }

void seal_close(struct seal *seal, uint8_t out[32]) {
    (void)seal;
    memset(out, 's', 32);
}

bool seal_begin_stream(struct connection *c, const char *theirs, char ours[65]) {
    strcpy(ours, theirs);
    return c->keyed = true;
}

// ---- stand-ins (command.c and transfer.c are compiled with fork and kill named so)

pid_t fuzz_fork(void) {
    if (!below(16)) {
        errno = EAGAIN;
        return -1;
    }
    return running[below(PROCESSES)] = ++next_pid;
}

int fuzz_kill(pid_t pid, int number) {
    (void)pid, (void)number;
    return 0;
}

bool tree_kill(int64_t mark, pid_t root) {
    (void)mark, (void)root;
    return !below(4);
}

void tree_kill_all(void) {}
void shield_process_one(void) {}

socklen_t socket_name(const char *name, void *address) {
    (void)name, (void)address;
    return 0;
}

int unpack(int fd, const char *dest) {
    (void)fd, (void)dest;
    return 0;
}

int pack(const char *path, int fd, uint64_t limit, uint64_t *size, uint8_t digest[32]) {
    (void)path, (void)fd, (void)limit, (void)size, (void)digest;
    return 0;
}

static void reap_some(int64_t now) {
    static const int statuses[] = {0, 256, 9, 15, 127 << 8};
    pid_t *one = &running[below(PROCESSES)];
    if (!*one) return;
    int status = statuses[below(sizeof statuses / sizeof *statuses)];
    if (!command_reaped(*one, status, now)) transfer_reaped(*one, status);
    *one = 0;
}

// ---- requests

static const char *const OPERATIONS[] = {
    "hello", "clock", "environment", "wait", "read", "kill", "put", "get", "counters", "samples", "file", "exec", "exec",
    "exec", "wait", "put", "stop", "", "helloo",
};
static const char *const WORDS[] = {
    "secret", "a", "b", "c", "out", "err", "/", "/tmp", "", "0", "1", "2", "-1", "3", "100", "4294967296", "A=1", ".", "..",
    "9223372036854775807", "-9223372036854775808", "922337203685477579", "1e3", " 1", "c-1.out", "c-1.err", "samples",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
};

static size_t add_field(size_t at, const char *text) {
    size_t len = strlen(text);
    if (at + len + 2 > MOST / 2) return at;
    memcpy(frame + at, text, len + 1);
    return at + len + 1;
}

static size_t add_drawn(size_t at) {
    char text[400];
    size_t len = below(sizeof text);
    if (below(40)) return add_field(at, WORDS[below(sizeof WORDS / sizeof *WORDS)]);
    memset(text, 'x', len);
    text[len] = 0;
    return add_field(at, text);
}

static size_t fields_of_exec(size_t at) {
    char number[24];
    size_t env = below(4), argv = below(4) + (below(8) != 0);
    at = add_drawn(at);
    at = add_field(at, WORDS[9 + below(6)]);
    at = add_field(at, "/");
    snprintf(number, sizeof number, "%zu", env + (below(8) == 0));
    at = add_field(at, number);
    while (env--) at = add_field(at, "A=1");
    snprintf(number, sizeof number, "%zu", argv + (below(8) == 0));
    at = add_field(at, number);
    while (argv--) at = add_field(at, "true");
    return at;
}

static void put_big_endian(uint8_t *at, int bytes, uint64_t value) {
    while (bytes--) {
        at[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

// A frame with its header; its length.
static size_t make_frame(const char *operation) {
    size_t at = 12, body = 0;
    at = add_field(at, below(30) ? "7" : WORDS[below(sizeof WORDS / sizeof *WORDS)]);
    at = add_field(at, operation);
    if (!strcmp(operation, "hello"))
        at = add_field(add_field(at, "nonce"), below(10) ? TOKEN : "wrong");
    else if (!strcmp(operation, "exec") && below(4))
        at = fields_of_exec(at);
    else
        for (size_t n = below(5); n--;) at = add_drawn(at);
    at--;  // fields are separated, not ended, by zeros
    if (!strcmp(operation, "put") || !below(20)) body = below(2) ? 0 : below(2000);
    memset(frame + at, 'b', body + SEAL);
    put_big_endian(frame, 4, at - 12);
    put_big_endian(frame + 4, 8, body);
    if (!below(5)) return mutate(frame, at + body + SEAL, MOST);
    return at + body + SEAL;
}

// ---- clients

static int client_of(int listener) {
    struct sockaddr_un address;
    socklen_t len = sizeof address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || getsockname(listener, (struct sockaddr *)&address, &len)) exit(2);
    if (connect(fd, (struct sockaddr *)&address, len)) exit(2);
    connection_accept(listener);
    return fd;
}

static void serve_all(void) {
    for (struct connection *c = connections; c; c = c->next) {
        if (!c->dead) connection_read(c);
        if (!c->dead && c->first) connection_write(c);
    }
}

static void drain(int fd) {
    static char replies[1 << 16];
    while (recv(fd, replies, sizeof replies, MSG_DONTWAIT) > 0) {}
}

// Whether the other side still listens.
static bool say_frame(int fd, size_t len) {
    for (size_t at = 0; at < len;) {  // in pieces, and now and then not to its end
        size_t use = below(3) ? len - at : 1 + below(len - at);
        ssize_t sent = send(fd, frame + at, use, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) return true;
        if (sent <= 0) return false;
        at += (size_t)sent;
        if (!below(3)) serve_all();
    }
    return true;
}

static void turn(int listener, int *client) {
    int64_t now = boottime_us() + (int64_t)below(3) * 70000000 * !below(50);
    if (*client >= 0 && !below(12)) {
        close(*client);
        *client = -1;
    }
    if (*client < 0) {
        *client = client_of(listener);
        if (below(8)) say_frame(*client, make_frame("hello"));
    }
    bool heard = say_frame(*client, make_frame(OPERATIONS[below(sizeof OPERATIONS / sizeof *OPERATIONS)]));
    serve_all();
    if (!below(2)) reap_some(now);
    commands_tick(now);
    samples_tick(now);
    serve_all();
    drain(*client);
    if (!heard) {
        close(*client);
        *client = -1;
    }
    connections_tidy(now);
}

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int clients[CLIENTS] = {-1, -1, -1, -1};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (argc != 4) return 2;
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){400, 400});  // few enough that old output is closed and opened again
    if (bind(listener, (struct sockaddr *)&address, sizeof address.sun_family) || listen(listener, 64)) return 2;
    if (!spool_open(argv[3])) return 2;
    commands_prepare();
    cgroup_find();
    samples_begin(0);
    draw_state = argument(argv, 2);
    for (uint64_t n = argument(argv, 1); n--;) turn(listener, &clients[below(CLIENTS)]);
    return 0;
}
