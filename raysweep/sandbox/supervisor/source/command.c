// Commands: started exactly once by id, their output in files, time-outs on whole trees, long polls for their end.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_EVERY_US 10000
#define KILL_ALL_AFTER_US 3000000

struct stream {
    int fd;  // -1 once there are too many: then it is opened by name again
    int64_t size;  // when it was closed
    dev_t device;
    ino_t inode;
};

struct command {
    struct command *next;
    char cid[MAX_NAME + 1];
    int64_t number, started, deadline, duration, killing_since, next_look;
    pid_t pid;  // 0 once it was reaped
    int status;
    bool ended, killing, timed_out;
    struct stream streams[2];
};

struct waiter {
    struct waiter *next;
    struct connection *c;
    struct command *command;
    char id[MAX_ID + 1];
    int64_t limit, until;
    bool kill;
};

static struct command *commands, *newest;
static struct waiter *waiters;
static int64_t started, held;
static int null_fd, adjustment;
static struct rlimit files_before;

bool commands_begun(void) { return started > 0; }

void commands_prepare(void) {
    int ends[2];
    char text[32];
    null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 && !pipe2(ends, O_CLOEXEC)) {
        null_fd = ends[0];
        close(ends[1]);
    }
    if (read_at(AT_FDCWD, "/proc/self/oom_score_adj", text, sizeof text) > 0) adjustment = atoi(text);
    adjustment = adjustment + 500 > 1000 ? 1000 : adjustment + 500;
    getrlimit(RLIMIT_NOFILE, &files_before);
    struct rlimit raised = files_before;
    raised.rlim_cur = raised.rlim_max < 65536 ? raised.rlim_max : 65536;
    if (raised.rlim_cur > files_before.rlim_cur) setrlimit(RLIMIT_NOFILE, &raised);
}

static struct command *find(const char *cid) {
    struct command *command = commands;
    while (command && strcmp(command->cid, cid)) command = command->next;
    return command;
}

static void stream_name(const struct command *command, int which, char out[40]) {
    char digits[24];
    strcpy(out, "c-");
    strcat(out, number_text(command->number, digits));
    strcat(out, which ? ".err" : ".out");
}

// ---- output

static int stream_open(struct command *command, int which) {
    struct stream *stream = &command->streams[which];
    if (stream->fd >= 0) return fcntl(stream->fd, F_DUPFD_CLOEXEC, 3);
    char name[40];
    stream_name(command, which, name);
    int fd = spool_reopen(name);
    struct stat st;
    if (fd >= 0 && (fstat(fd, &st) || st.st_dev != stream->device || st.st_ino != stream->inode)) {
        close(fd);
        errno = ENOENT;
        fd = -1;
    }
    if (fd < 0 && errno == ENOENT) errno = EIO;
    return fd;
}

static int64_t stream_size(const struct stream *stream) {
    struct stat st;
    return stream->fd >= 0 && !fstat(stream->fd, &st) ? st.st_size : stream->size;
}

static void stream_close(struct stream *stream) {
    if (stream->fd < 0) return;
    stream->size = stream_size(stream);
    close(stream->fd);
    stream->fd = -1;
}

static bool stream_create(struct command *command, int which) {
    struct stream *stream = &command->streams[which];
    struct stat st;
    char name[40];
    stream_name(command, which, name);
    stream->fd = spool_create(name);
    if (stream->fd < 0) return false;
    fchmod(stream->fd, 0666);  // a command that changed its user may open /dev/stderr anew
    if (!fstat(stream->fd, &st)) {
        stream->device = st.st_dev;
        stream->inode = st.st_ino;
    }
    return true;
}

// Keep descriptors for the newest commands only, where the limit on them is low.
static void close_old_streams(void) {
    struct rlimit now;
    int64_t room = getrlimit(RLIMIT_NOFILE, &now) ? 256 : (int64_t)(now.rlim_cur / 4);
    for (struct command *c = commands; c && held >= room; c = c->next) {
        if (!c->ended || c->streams[0].fd < 0) continue;
        stream_close(&c->streams[0]);
        stream_close(&c->streams[1]);
        held--;
    }
}

// ---- starting

static _Noreturn void cannot_run(const char *what) {
    int error = errno;
    say(2, "raysweep: cannot run ", what, ": ", error_text(error));
    _exit(error == ENOENT ? 127 : 126);
}

static void mark_and_adjust(int64_t mark) {
    struct rlimit locks = {(rlim_t)mark, (rlim_t)mark};
    char digits[24];
    setrlimit(RLIMIT_LOCKS, &locks);
    setrlimit(RLIMIT_NOFILE, &files_before);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);  // or /proc/self would not be ours
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    const char *text = number_text(adjustment, digits);
    if (fd >= 0) {
        write_all(fd, text, strlen(text));
        close(fd);
    }
}

static _Noreturn void become(struct command *command, const char *cwd, char **env, char **argv) {
    setsid();
    dup2(null_fd, 0);
    dup2(command->streams[0].fd, 1);
    dup2(command->streams[1].fd, 2);
    seal_forget();  // before others may look into this process
    shield_process_one();
    mark_and_adjust(FIRST_MARK + command->number);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    if (chdir(cwd)) cannot_run(cwd);
    environ = env;
    execvp(argv[0], argv);
    cannot_run(argv[0]);
}

// CID TIMEOUT_MS CWD N_ENV env... N_ARGV argv...; pointers into `fields` are made lists that end with a null pointer.
static bool parse_exec(char **fields, size_t count, int64_t *timeout, char ***env, char ***argv) {
    int64_t n_env, n_argv;
    if (count < 6 || !*fields[0] || strlen(fields[0]) > MAX_NAME) return false;
    if (!parse_number(fields[1], timeout) || *timeout < -1 || *timeout > INT64_MAX / 2000) return false;
    if (!parse_number(fields[3], &n_env) || n_env < 0 || (uint64_t)n_env > count - 6) return false;
    *env = fields + 4;
    char **at = *env + n_env;
    if (!parse_number(*at, &n_argv) || n_argv < 1 || (uint64_t)n_argv != count - 5 - (uint64_t)n_env) return false;
    *argv = at + 1;
    return true;
}

static int start(struct command *command, const char *cwd, char **env, char **argv) {
    close_old_streams();
    if (!stream_create(command, 0)) return errno;
    pid_t pid = stream_create(command, 1) ? fork() : -1;
    if (pid == 0) become(command, cwd, env, argv);
    if (pid < 0) {
        int error = errno;
        for (int which = 0; which < 2; which++) {
            char name[40];
            stream_name(command, which, name);
            if (command->streams[which].fd < 0) continue;
            close(command->streams[which].fd);
            spool_remove(name);
        }
        return error;
    }
    command->pid = pid;
    return 0;
}

static void reply_word(struct connection *c, const char *id, const char *word) {
    struct buffer head;
    reply_begin(&head, id, "ok");
    reply_field(&head, word);
    reply_send(c, &head, 0, 0);
}

void command_exec(struct connection *c, const char *id, char **fields, size_t count) {
    int64_t timeout;
    char **env, **argv;
    if (!parse_exec(fields, count, &timeout, &env, &argv)) {
        reply_error(c, id, EINVAL, "malformed arguments");
        return;
    }
    if (find(fields[0])) {
        reply_word(c, id, "exists");
        return;
    }
    struct command *command = calloc(1, sizeof *command);
    size_t n_argv = count - (size_t)(argv - fields);
    char **list = malloc((n_argv + 1) * sizeof *list);
    int error = ENOMEM;
    if (command && list) {
        memcpy(list, argv, n_argv * sizeof *list);
        list[n_argv] = 0;
        argv[-1] = 0;  // where the number stood, the environment's list ends
        strcpy(command->cid, fields[0]);
        command->number = started + 1;
        command->streams[0].fd = command->streams[1].fd = -1;
        command->started = boottime_us();
        command->deadline = timeout < 0 ? INT64_MAX : command->started + timeout * 1000;
        error = start(command, fields[2], env, list);
    }
    free(list);
    if (error) {
        free(command);
        reply_error(c, id, error, 0);
        return;
    }
    started++;
    held++;
    *(newest ? &newest->next : &commands) = command;
    newest = command;
    reply_word(c, id, "started");
}

// ---- ending

static void reply_ended(struct connection *c, const char *id, struct command *command, int64_t limit) {
    struct buffer head;
    struct part parts[2];
    int64_t sizes[2];
    for (int which = 0; which < 2; which++) {
        sizes[which] = stream_size(&command->streams[which]);
        uint64_t len = (uint64_t)(sizes[which] < limit ? sizes[which] : limit);
        parts[which] = (struct part){0, len ? stream_open(command, which) : -1, 0, len};
        if (len && parts[which].fd < 0) {
            int error = errno;
            if (which && parts[0].fd >= 0) close(parts[0].fd);
            reply_error(c, id, error, "the output cannot be read");
            return;
        }
    }
    int status = command->status;
    reply_begin(&head, id, "ok");
    reply_field(&head, "ended");
    reply_number(&head, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    reply_number(&head, WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    reply_number(&head, command->timed_out);
    reply_number(&head, command->duration);
    reply_number(&head, (int64_t)parts[0].len);
    reply_number(&head, sizes[0]);
    reply_number(&head, sizes[1]);
    size_t skip = parts[0].len ? 0 : 1;
    reply_send(c, &head, parts + skip, 2 - skip - (parts[1].len ? 0 : 1));
}

// Answer and drop the waiters that `done` names.
static void answer(struct command *command, int64_t now) {
    for (struct waiter **at = &waiters; *at;) {
        struct waiter *w = *at;
        bool over = w->command->killing ? false : w->kill || w->command->ended;
        if (command && w->command != command) over = false;
        if (!over && (command || now < w->until)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        if (!over)
            reply_word(w->c, w->id, "running");
        else if (w->kill)
            reply_word(w->c, w->id, "killed");
        else
            reply_ended(w->c, w->id, w->command, w->limit);
        free(w);
        at = &waiters;  // a reply can end a connection, and with it other waiters
    }
}

static void await(struct connection *c, const char *id, struct command *command, int64_t limit, int64_t until, bool kill) {
    struct waiter *w = calloc(1, sizeof *w);
    if (!w) {
        connection_close(c);
        return;
    }
    *w = (struct waiter){.next = waiters, .c = c, .command = command, .limit = limit, .until = until, .kill = kill};
    strcpy(w->id, id);
    waiters = w;
}

void command_wait(struct connection *c, const char *id, const char *cid, int64_t limit, int64_t max_ms) {
    struct command *command = find(cid);
    if (!command)
        reply_error(c, id, ENOENT, "no such command");
    else if (limit < 0 || max_ms < 0)
        reply_error(c, id, EINVAL, 0);
    else if (command->ended && !command->killing)
        reply_ended(c, id, command, limit);
    else if (!max_ms)
        reply_word(c, id, "running");
    else
        await(c, id, command, limit, boottime_us() + (max_ms < 86400000 ? max_ms : 86400000) * 1000, false);
}

void command_kill(struct connection *c, const char *id, const char *cid) {
    struct command *command = find(cid);
    if (!command) {
        reply_error(c, id, ENOENT, "no such command");
        return;
    }
    if (!command->killing) {
        command->killing = true;
        command->killing_since = boottime_us();
    }
    await(c, id, command, 0, INT64_MAX, true);
}

void command_read(struct connection *c, const char *id, const char *cid, const char *stream, int64_t offset,
                  int64_t length) {
    struct command *command = find(cid);
    int which = !strcmp(stream, "out") ? 0 : !strcmp(stream, "err") ? 1 : -1;
    if (!command || which < 0 || offset < 0 || length < 0) {
        reply_error(c, id, command ? EINVAL : ENOENT, 0);
        return;
    }
    int64_t size = stream_size(&command->streams[which]), left = offset < size ? size - offset : 0;
    uint64_t len = (uint64_t)(length < left ? length : left);
    int fd = len ? stream_open(command, which) : -1;
    if (len && fd < 0) {
        reply_error(c, id, errno, "the output cannot be read");
        return;
    }
    struct buffer head;
    reply_begin(&head, id, "ok");
    reply_number(&head, size);
    reply_number(&head, command->ended);
    reply_send(c, &head, &(struct part){0, fd, (uint64_t)offset, len}, len ? 1 : 0);
}

bool command_reaped(pid_t pid, int status, int64_t now) {
    for (struct command *command = commands; command; command = command->next) {
        if (command->pid != pid) continue;
        command->pid = 0;
        command->status = status;
        command->duration = now - command->started;
        if (command->killing) return true;  // told when the whole tree is gone
        command->ended = true;
        answer(command, now);
        return true;
    }
    return false;
}

static void kill_on(struct command *command, int64_t now) {
    if (now < command->next_look) return;
    command->next_look = now + KILL_EVERY_US;
    bool left = tree_kill(FIRST_MARK + command->number, command->pid);
    if (left && now - command->killing_since > KILL_ALL_AFTER_US) tree_kill_all();
    if (left || command->pid) return;
    command->killing = false;
    command->ended = true;
    answer(command, now);
}

int64_t commands_tick(int64_t now) {
    int64_t next = INT64_MAX;
    for (struct command *command = commands; command; command = command->next) {
        if (!command->ended && !command->killing && now >= command->deadline) {
            command->killing = command->timed_out = true;
            command->killing_since = now;
        }
        if (command->killing) kill_on(command, now);
        int64_t when = command->killing ? command->next_look : command->ended ? INT64_MAX : command->deadline;
        if (when < next) next = when;
    }
    answer(0, now);
    for (struct waiter *w = waiters; w; w = w->next)
        if (w->until < next) next = w->until;
    return next;
}

void commands_forget(struct connection *c) {
    for (struct waiter **at = &waiters; *at;) {
        struct waiter *w = *at;
        if (w->c != c) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        free(w);
    }
}
