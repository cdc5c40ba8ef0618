// What the parts of the supervisor share. Every part is one file; nothing here allocates at rest.
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define MAX_HEAD (16u << 20)
#define MAX_HELLO 4096u
#define MAX_BODY (1ull << 40)
#define MAX_ID 64
#define MAX_NAME 256
#define MAX_FIELDS (1u << 18)

// ---- text.c: numbers as text, growing buffers, small files

struct buffer {
    char *data;
    size_t len, cap;
    bool failed;  // memory was refused; what was added since is not there
};

void buffer_add(struct buffer *b, const void *data, size_t len);
void buffer_text(struct buffer *b, const char *text);
void buffer_number(struct buffer *b, int64_t number);
void buffer_free(struct buffer *b);
char *number_text(int64_t number, char out[24]);
bool parse_number(const char *text, int64_t *out);  // the whole text is one decimal number
int64_t number_after(const char *text, const char *key);  // value of the line "key value", -1 without one
ssize_t read_at(int folder, const char *name, char *out, size_t cap);  // NUL-terminated; -1 with errno
bool write_all(int fd, const void *data, size_t len);
void say(int fd, const char *first, const char *second, const char *third, const char *fourth);  // one line
const char *error_text(int number);
int64_t boottime_us(void);
int64_t realtime_us(void);

// ---- sha256.c

struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);
void sha256_end(struct sha256 *s, uint8_t out[32]);
void hex_text(const uint8_t digest[32], char out[65]);

// ---- seal.c: frames that nobody between can forge

struct connection;

struct seal {  // one direction of a stream
    uint8_t key[32];
    uint64_t count;  // frames so far, so that none can be left out or come twice
    struct sha256 mac;
};

bool same_bytes(const void *a, const void *b, size_t len);
bool digest_fits(const char *text, size_t len, const char *wanted);  // its SHA-256 in hexadecimal
void seal_prepare(const char *digest);
bool seal_admits(const char *token);
bool seal_known(void);
void seal_keeper_proof(char out[65]);
bool seal_begin_stream(struct connection *c, const char *theirs, char ours[65]);
void seal_forget(void);
void seal_open(struct seal *seal);
void seal_add(struct seal *seal, const void *data, size_t len);
void seal_close(struct seal *seal, uint8_t out[32]);

// ---- spool.c: files in the spool folder

extern int spool_folder;
bool spool_open(const char *path);
int spool_create(const char *name);  // read, write, append; what stands there is removed first; -1 with errno
int spool_reopen(const char *name);  // a regular file, for reading; -1 with errno
int spool_nameless(void);
void spool_remove(const char *name);

// ---- connection.c: clients, frames in, replies out

struct chunk;
struct job;

struct connection {
    struct connection *next;
    int fd;
    bool keyed, authenticated, dead, blocked;  // authenticated: a frame came whose seal fits
    struct seal in, out;
    int64_t since;
    uint8_t header[12];
    size_t header_len;
    char *head;
    size_t head_len, head_cap, head_want;
    uint64_t body_left;
    uint8_t trailer[32];
    size_t trailer_len;
    struct job *incoming;  // the put whose body is arriving
    struct chunk *first, *last;
};

struct part {  // one piece of a reply's body: memory (given away) or a range of a file (the descriptor given away)
    char *data;
    int fd;
    uint64_t offset, len;
};

extern struct connection *connections;
void connection_accept(int listener);
void connection_read(struct connection *c);
void connection_write(struct connection *c);
void connection_close(struct connection *c);
void connections_tidy(int64_t now);
bool connections_quiet(void);
void connections_forget_in_child(void);
void reply_begin(struct buffer *head, const char *id, const char *status);
void reply_field(struct buffer *head, const char *text);
void reply_number(struct buffer *head, int64_t number);
void reply_send(struct connection *c, struct buffer *head, struct part *parts, size_t count);
void reply_error(struct connection *c, const char *id, int number, const char *text);

// ---- request.c: what a frame asks for

void request_handle(struct connection *c, char *head, size_t len, uint64_t body);
extern bool stop_asked;

// ---- command.c: commands, exactly once by id

void command_exec(struct connection *c, const char *id, char **fields, size_t count);
void command_wait(struct connection *c, const char *id, const char *cid, int64_t limit, int64_t max_ms);
void command_read(struct connection *c, const char *id, const char *cid, const char *stream, int64_t offset,
                  int64_t length);
void command_kill(struct connection *c, const char *id, const char *cid);
bool command_reaped(pid_t pid, int status, int64_t now);
int64_t commands_tick(int64_t now);  // time of the next look, boottime_us
void commands_forget(struct connection *c);
void commands_prepare(void);
bool commands_begun(void);

// ---- shield.c: what commands may not do to process 1

void shield_process_one(void);

// ---- tree.c: process trees

enum { FIRST_MARK = 1000000000 };
bool tree_kill(int64_t mark, pid_t root);  // whether there was something left to kill
void tree_kill_all(void);  // everything but process 1; elsewhere everything below this process

// ---- transfer.c: archives in and out, by workers

struct job *transfer_put_begin(struct connection *c, const char *id, const char *dest, const char *sha256);
void transfer_put_data(struct job *job, const void *data, size_t len);
void transfer_put_end(struct job *job);
void transfer_put_abort(struct job *job);
void transfer_get(struct connection *c, const char *id, const char *path, int64_t limit);
bool transfer_reaped(pid_t pid, int status);
void transfer_forget(struct connection *c);

// ---- unpack.c, pack.c: tar

int unpack(int fd, const char *dest);  // 0 or errno
int pack(const char *path, int fd, uint64_t limit, uint64_t *size, uint8_t digest[32]);  // 0 or errno

// ---- cgroup.c: the container's own cgroup

enum controller { MEMORY, CPU, CPUACCT, PIDS, CONTROLLERS };
void cgroup_find(void);
int cgroup_version(void);
ssize_t cgroup_read(enum controller controller, const char *name, char *out, size_t cap);
int64_t cgroup_number(enum controller controller, const char *name);
void cgroup_counters(struct connection *c, const char *id);

// ---- samples.c

void samples_begin(const char *keeper);  // name of the keeper to send them to, or null
int64_t samples_tick(int64_t now);
void samples_send(struct connection *c, const char *id, int64_t from);

// ---- modes

int mode_init(const char *name, const char *spool, const char *digest, const char *keeper);
int mode_keep(const char *name, const char *digest, const char *folder);
int mode_kept(const char *folder);
int mode_call(const char *name);
int mode_copy(const char *folder);
int mode_alloc(int64_t bytes, int64_t hold_ms);
int mode_burn(int64_t ms);
int mode_sleepers(int64_t count);
int mode_net(const char *host, int64_t port, int64_t timeout_ms);
socklen_t socket_name(const char *name, void *address);
int listen_as(const char *name);  // -1 with errno
int open_signals(void);

#endif
