// Archives in and out. Bodies go through nameless files of the spool, the work is done by forked workers: commands,
// time-outs and samples go on meanwhile, and memory stays as small as it was. One put at a time: a client that lost
// its connection sends the same put again while the first is still under way.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_TRIES = 3, REPORT = 512 };

struct job {
    struct job *next;
    struct connection *c;  // null when it is gone
    char id[MAX_ID + 1];
    bool put, ready;  // ready: the body of a put is here and fits its digest
    int body, report, error, tries;
    pid_t pid;
    char *path;
    uint64_t limit;  // bytes of a get's archive
    struct sha256 sha;
    char wanted[65];
};

static struct job *jobs;  // oldest first

static void job_free(struct job *job) {
    for (struct job **at = &jobs; *at; at = &(*at)->next) {
        if (*at != job) continue;
        *at = job->next;
        break;
    }
    if (job->body >= 0) close(job->body);
    if (job->report >= 0) close(job->report);
    free(job->path);
    free(job);
}

static struct job *job_new(struct connection *c, const char *id, const char *path) {
    struct job *job = calloc(1, sizeof *job);
    if (!job || !(job->path = strdup(path))) {
        free(job);
        connection_close(c);
        return 0;
    }
    job->c = c;
    strcpy(job->id, id);
    job->report = -1;
    job->body = spool_nameless();
    if (job->body < 0) job->error = errno;
    struct job **at = &jobs;
    while (*at) at = &(*at)->next;
    *at = job;
    return job;
}

static void job_fail(struct job *job, int error, const char *text) {
    struct connection *c = job->c;
    char id[MAX_ID + 1];
    strcpy(id, job->id);
    job_free(job);
    if (c) reply_error(c, id, error, text);
}

// ---- workers

static _Noreturn void work(struct job *job, int report) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    connections_forget_in_child();
    if ((!job->put && ftruncate(job->body, 0)) || lseek(job->body, 0, SEEK_SET)) _exit(1);
    struct buffer text = {0};
    uint64_t size = 0;
    uint8_t digest[32] = {0};
    char hex[65];
    int error = job->put ? unpack(job->body, job->path) : pack(job->path, job->body, job->limit, &size, digest);
    hex_text(digest, hex);
    buffer_number(&text, error);
    buffer_text(&text, " ");
    buffer_number(&text, (int64_t)size);
    buffer_text(&text, " ");
    buffer_text(&text, hex);
    write_all(report, text.data, text.len);
    _exit(0);
}

static void job_start(struct job *job) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) {
        job_fail(job, errno, 0);
        return;
    }
    job->tries++;
    job->pid = fork();
    if (job->pid == 0) work(job, ends[1]);
    int error = errno;
    close(ends[1]);
    if (job->pid < 0) {
        close(ends[0]);
        job_fail(job, error, 0);
        return;
    }
    job->report = ends[0];
}

static void start_next_put(void) {
    struct job *next = 0;
    for (struct job *job = jobs; job; job = job->next) {
        if (!job->put || !job->ready) continue;
        if (job->pid > 0) return;
        if (!next) next = job;
    }
    if (next) job_start(next);
}

static void succeed(struct job *job, const char *size, const char *digest) {
    struct connection *c = job->c;
    if (!c) {
        job_free(job);
        return;
    }
    struct buffer head;
    reply_begin(&head, job->id, "ok");
    struct part body = {0, job->body, 0, (uint64_t)strtoll(size, 0, 10)};
    if (!job->put) {
        reply_field(&head, size);
        reply_field(&head, digest);
        job->body = -1;
    }
    size_t parts = job->put ? 0 : 1;
    job_free(job);
    reply_send(c, &head, &body, parts);
}

static void finish(struct job *job, int status) {
    char text[REPORT] = {0}, *size, *digest;
    ssize_t got = read(job->report, text, sizeof text - 1);
    close(job->report);
    job->report = -1;
    job->pid = 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && job->tries < MAX_TRIES && job->c) {
        job_start(job);  // the task kills what it can see; the work can be done again
    } else if (got <= 0 || !(size = strchr(text, ' ')) || !(digest = strchr(size + 1, ' '))) {
        job_fail(job, EINTR, "the worker was killed");
    } else if (atoi(text)) {
        job_fail(job, atoi(text), 0);
    } else {
        *size = *digest = 0;
        succeed(job, size + 1, digest + 1);
    }
}

bool transfer_reaped(pid_t pid, int status) {
    for (struct job *job = jobs; job; job = job->next) {
        if (job->pid != pid) continue;
        finish(job, status);
        start_next_put();
        return true;
    }
    return false;
}

// ---- requests

struct job *transfer_put_begin(struct connection *c, const char *id, const char *dest, const char *sha256) {
    struct job *job = job_new(c, id, dest);
    if (!job) return 0;
    job->put = true;
    sha256_init(&job->sha);
    if (strlen(sha256) == 64) strcpy(job->wanted, sha256);
    return job;
}

void transfer_put_data(struct job *job, const void *data, size_t len) {
    sha256_add(&job->sha, data, len);
    if (job->error || write_all(job->body, data, len)) return;
    job->error = errno;
    close(job->body);  // the rest is read and dropped
    job->body = -1;
}

void transfer_put_end(struct job *job) {
    uint8_t digest[32];
    char hex[65];
    sha256_end(&job->sha, digest);
    hex_text(digest, hex);
    if (job->error) {
        job_fail(job, job->error, 0);
    } else if (strcmp(hex, job->wanted)) {
        job_fail(job, EBADMSG, "the archive arrived damaged");
    } else {
        job->ready = true;
        start_next_put();
    }
}

void transfer_put_abort(struct job *job) { job_free(job); }

void transfer_get(struct connection *c, const char *id, const char *path, int64_t limit) {
    struct job *job = job_new(c, id, path);
    if (!job) return;
    job->limit = limit < 0 ? 0 : (uint64_t)limit;
    if (job->error)
        job_fail(job, job->error, 0);
    else
        job_start(job);
}

void transfer_forget(struct connection *c) {
    for (struct job *job = jobs; job; job = job->next) {
        if (job->c != c || job == c->incoming) continue;
        job->c = 0;
        if (!job->put && job->pid > 0) kill(job->pid, SIGKILL);  // a put is finished, for what was begun is half done
    }
}
