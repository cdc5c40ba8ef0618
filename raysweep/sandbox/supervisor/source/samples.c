// A look at the cgroup each second, kept in memory (which a task cannot alter) and in the spool (for the keeper).
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEPT = 20000, VALUES = 10 };
#define EVERY_US 1000000

struct sample {
    int64_t at, memory, unreclaimable, anon, cpu_usec, throttled_us, nr_throttled, pids, oom_kill, mem_available;
};

static struct sample kept[KEPT];  // a page is used when its time has come
static int64_t total, next_at;
static int file = -1;
static char text[1 << 14];

static int64_t sum_of(const char *const *keys) {
    int64_t sum = -1;
    for (; *keys; keys++) {
        int64_t value = number_after(text, *keys);
        if (value >= 0) sum = value + (sum > 0 ? sum : 0);
    }
    return sum;
}

static void look_v1(struct sample *s) {
    static const char *const held[] = {"total_rss", "total_shmem", 0};
    s->memory = cgroup_number(MEMORY, "memory.usage_in_bytes");
    int64_t kernel = cgroup_number(MEMORY, "memory.kmem.usage_in_bytes");
    if (cgroup_read(MEMORY, "memory.stat", text, sizeof text) > 0) s->anon = sum_of(held);
    s->unreclaimable = s->anon < 0 ? -1 : s->anon + (kernel > 0 ? kernel : 0);
    if (cgroup_read(MEMORY, "memory.oom_control", text, sizeof text) > 0) s->oom_kill = number_after(text, "oom_kill");
    int64_t used = cgroup_number(CPUACCT, "cpuacct.usage");
    s->cpu_usec = used < 0 ? -1 : used / 1000;
    if (cgroup_read(CPU, "cpu.stat", text, sizeof text) <= 0) return;
    int64_t throttled = number_after(text, "throttled_time");
    s->throttled_us = throttled < 0 ? -1 : throttled / 1000;
    s->nr_throttled = number_after(text, "nr_throttled");
}

static void look_v2(struct sample *s) {
    static const char *const held[] = {"anon", "shmem", 0};
    static const char *const bound[] = {"anon", "shmem", "slab_unreclaimable", "kernel_stack", "pagetables", 0};
    s->memory = cgroup_number(MEMORY, "memory.current");
    if (cgroup_read(MEMORY, "memory.stat", text, sizeof text) > 0) {
        s->anon = sum_of(held);
        s->unreclaimable = sum_of(bound);
    }
    if (cgroup_read(MEMORY, "memory.events", text, sizeof text) > 0) s->oom_kill = number_after(text, "oom_kill");
    if (cgroup_read(CPU, "cpu.stat", text, sizeof text) <= 0) return;
    s->cpu_usec = number_after(text, "usage_usec");
    s->throttled_us = number_after(text, "throttled_usec");
    s->nr_throttled = number_after(text, "nr_throttled");
}

static struct sample look(int64_t now) {
    struct sample s = {now, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    if (cgroup_version() == 1) look_v1(&s);
    if (cgroup_version() == 2) look_v2(&s);
    s.pids = cgroup_number(PIDS, "pids.current");
    if (read_at(AT_FDCWD, "/proc/meminfo", text, sizeof text) > 0) {
        int64_t kib = number_after(text, "MemAvailable");
        s.mem_available = kib < 0 ? -1 : kib * 1024;
    }
    return s;
}

static void add_line(struct buffer *b, const struct sample *s) {
    int64_t values[VALUES];
    memcpy(values, s, sizeof values);
    for (int i = 0; i < VALUES; i++) {
        if (i) buffer_add(b, " ", 1);
        buffer_number(b, values[i]);
    }
    buffer_add(b, "\n", 1);
}

void samples_begin(bool to_spool) {
    next_at = boottime_us();
    if (to_spool) file = spool_create("samples");
}

int64_t samples_tick(int64_t now) {
    if (now < next_at) return next_at;
    struct sample s = look(now);
    kept[total++ % KEPT] = s;
    if (file >= 0) {
        struct buffer line = {0};
        add_line(&line, &s);
        if (!line.failed) write_all(file, line.data, line.len);
        buffer_free(&line);
    }
    next_at += EVERY_US;
    if (next_at <= now) next_at = now + EVERY_US;  // the machine stood still
    return next_at;
}

void samples_send(struct connection *c, const char *id, int64_t from) {
    int64_t first = total > KEPT ? total - KEPT : 0;
    struct buffer head, body = {0};
    if (from > first) first = from < total ? from : total;
    for (int64_t i = first; i < total; i++) add_line(&body, &kept[i % KEPT]);
    reply_begin(&head, id, "ok");
    reply_number(&head, total);
    reply_number(&head, first);
    head.failed |= body.failed;
    reply_send(c, &head, &(struct part){body.data, -1, 0, body.len}, 1);
}
