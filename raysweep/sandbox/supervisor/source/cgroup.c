// The container's own cgroup, v1 or v2, read as it is shown inside. The folders are opened once, at the start.
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int version;
static int folders[CONTROLLERS] = {-1, -1, -1, -1};
static const char *const controller_names[CONTROLLERS] = {"memory", "cpu", "cpuacct", "pids"};

static const struct counter {
    int version;
    enum controller controller;
    const char *name;
} counters[] = {
    {1, MEMORY, "memory.stat"},
    {1, MEMORY, "memory.usage_in_bytes"},
    {1, MEMORY, "memory.max_usage_in_bytes"},
    {1, MEMORY, "memory.failcnt"},
    {1, MEMORY, "memory.limit_in_bytes"},
    {1, MEMORY, "memory.memsw.limit_in_bytes"},
    {1, MEMORY, "memory.kmem.usage_in_bytes"},
    {1, MEMORY, "memory.oom_control"},
    {1, CPU, "cpu.stat"},
    {1, CPUACCT, "cpuacct.usage"},
    {1, CPU, "cpu.cfs_quota_us"},
    {1, CPU, "cpu.cfs_period_us"},
    {1, CPU, "cpu.shares"},
    {2, MEMORY, "memory.stat"},
    {2, MEMORY, "memory.current"},
    {2, MEMORY, "memory.peak"},
    {2, MEMORY, "memory.max"},
    {2, MEMORY, "memory.swap.max"},
    {2, MEMORY, "memory.events"},
    {2, MEMORY, "memory.events.local"},
    {2, MEMORY, "memory.oom.group"},
    {2, CPU, "cpu.stat"},
    {2, CPU, "cpu.max"},
    {2, CPU, "cpu.weight"},
    {0, PIDS, "pids.current"},
    {0, PIDS, "pids.peak"},
    {0, PIDS, "pids.max"},
    {0, PIDS, "pids.events"},
};

static bool listed(const char *list, const char *word) {
    size_t len = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += len)
        if ((at == list || at[-1] == ',') && (!at[len] || at[len] == ',')) return true;
    return false;
}

// The path of `controller` ("" for v2) in the text of /proc/self/cgroup, or null.
static const char *own_path(char *text, const char *controller, char path[4096]) {
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        char *names = strchr(line, ':'), *at = names ? strchr(names + 1, ':') : 0;
        size_t len = at ? (next ? (size_t)(next - at - 1) : strlen(at + 1)) : 0;
        if (next) next++;
        if (!at || len >= 4096) continue;
        *at = 0;
        bool fits = *controller ? listed(names + 1, controller) : !names[1];
        *at = ':';
        if (!fits) continue;
        memcpy(path, at + 1, len);
        path[len] = 0;
        return path;
    }
    return 0;
}

static int open_own(const char *root, const char *mount, const char *path, const char *proof) {
    char place[8200];
    size_t len = strcmp(root, "/") ? strlen(root) : 0;
    bool below = path && !strncmp(path, root, len) && (!path[len] || path[len] == '/') && strncmp(path, "/..", 3);
    for (int whole = 0; whole < 2; whole++) {
        strcpy(place, mount);
        if (!whole && !below) continue;
        if (!whole) strcat(place, path + len);
        int fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && !faccessat(fd, proof, F_OK, 0)) return fd;
        if (fd >= 0) close(fd);
    }
    return -1;
}

static void look_at_mount(char *line, char *groups) {
    static const char *const proofs[CONTROLLERS] = {"memory.usage_in_bytes", "cpu.shares", "cpuacct.usage", "pids.current"};
    char *fields[5], *at = line, path[4096];
    for (int i = 0; i < 5; i++) {
        fields[i] = at;
        if (!(at = strchr(at, ' '))) return;
        *at++ = 0;
    }
    char *kind = strstr(at, " - "), *options = kind ? strchr(kind + 3, ' ') : 0;
    options = options ? strchr(options + 1, ' ') : 0;
    if (!options || strlen(fields[4]) > 4000) return;
    options++;
    bool two = !strncmp(kind + 3, "cgroup2 ", 8), one = !strncmp(kind + 3, "cgroup ", 7);
    for (int i = 0; i < CONTROLLERS && (one || two); i++) {
        if (folders[i] >= 0 || (one && !listed(options, controller_names[i]))) continue;
        const char *own = own_path(groups, two ? "" : controller_names[i], path);
        folders[i] = open_own(fields[3], fields[4], own, two ? "memory.current" : proofs[i]);
        if (folders[i] >= 0 && i == MEMORY) version = two ? 2 : 1;
    }
}

void cgroup_find(void) {
    enum { ROOM = 1 << 18 };
    char *mounts = malloc(ROOM), groups[8192];
    if (mounts && read_at(AT_FDCWD, "/proc/self/mountinfo", mounts, ROOM) > 0 &&
        read_at(AT_FDCWD, "/proc/self/cgroup", groups, sizeof groups) > 0) {
        for (char *line = mounts, *next; line && *line; line = next) {
            if ((next = strchr(line, '\n'))) *next++ = 0;
            look_at_mount(line, groups);
        }
    }
    free(mounts);
}

int cgroup_version(void) { return version; }

ssize_t cgroup_read(enum controller controller, const char *file, char *out, size_t cap) {
    if (folders[controller] >= 0) return read_at(folders[controller], file, out, cap);
    *out = 0;
    errno = ENOENT;
    return -1;
}

int64_t cgroup_number(enum controller controller, const char *file) {
    char text[64];
    int64_t value;
    ssize_t len = cgroup_read(controller, file, text, sizeof text);
    if (len > 0 && text[len - 1] == '\n') text[len - 1] = 0;
    return len > 0 && parse_number(text, &value) ? value : -1;
}

void cgroup_counters(struct connection *c, const char *id) {
    static char text[1 << 14];
    struct buffer head, body = {0};
    reply_begin(&head, id, "ok");
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        const struct counter *counter = &counters[i];
        if (counter->version && counter->version != version) continue;
        ssize_t len = cgroup_read(counter->controller, counter->name, text, sizeof text);
        if (len < 0) continue;
        reply_field(&head, counter->name);
        reply_number(&head, len);
        buffer_add(&body, text, (size_t)len);
    }
    ssize_t len = read_at(AT_FDCWD, "/proc/meminfo", text, sizeof text);
    if (len >= 0) {
        reply_field(&head, "meminfo");
        reply_number(&head, len);
        buffer_add(&body, text, (size_t)len);
    }
    head.failed |= body.failed;
    reply_send(c, &head, &(struct part){body.data, -1, 0, body.len}, 1);
}
