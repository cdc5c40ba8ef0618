// Process trees, found by an inherited mark and by descent, and killed whole.
//
// A command's processes carry its mark as their limit of file locks (RLIMIT_LOCKS, which no kernel since 2.4 looks
// at): children inherit it and nobody without CAP_SYS_RESOURCE may raise it, so that a time-out finds them whatever
// sessions they made and whoever adopted them.
#define _GNU_SOURCE
#include "supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct process {
    pid_t pid, parent;
    bool wanted, over;  // over: a zombie, nothing left to kill
};

static struct process *table;
static size_t count, room;

static const char *skip_fields(const char *at, int n) {
    while (n-- && (at = strchr(at, ' '))) at++;
    return at;
}

static bool look_at(const char *name, struct process *p) {
    char path[64] = "/proc/", text[1024];
    strcat(strcat(path, name), "/stat");
    if (read_at(AT_FDCWD, path, text, sizeof text) <= 0) return false;
    const char *state = strrchr(text, ')');
    if (!state || !*++state || !*++state || !state[1]) return false;
    const char *threads = skip_fields(state, 17);
    p->parent = atoi(state + 2);
    p->over = (*state == 'Z' || *state == 'X') && (!threads || atoi(threads) <= 1);  // a leader may go before its threads
    return true;
}

static bool has_mark(pid_t pid, int64_t mark) {
    char path[64] = "/proc/", digits[24], text[4096];
    strcat(strcat(path, number_text(pid, digits)), "/limits");
    if (read_at(AT_FDCWD, path, text, sizeof text) <= 0) return false;
    const char *line = strstr(text, "Max file locks");
    if (!line) return false;
    for (line += strlen("Max file locks"); *line == ' '; line++) {}
    return strtoll(line, 0, 10) == mark;
}

static bool is_number(const char *text) {
    size_t len = strspn(text, "0123456789");
    return len && len < 12 && !text[len];
}

static bool scan(void) {
    DIR *folder = opendir("/proc");
    if (!folder) return false;
    pid_t self = getpid();
    count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct process p = {0};
        if (!is_number(entry->d_name) || (p.pid = atoi(entry->d_name)) == self || !look_at(entry->d_name, &p)) continue;
        if (count == room) {
            struct process *grown = realloc(table, (room + 256) * sizeof *table);
            if (!grown) break;
            table = grown;
            room += 256;
        }
        table[count++] = p;
    }
    closedir(folder);
    return true;
}

static bool parent_wanted(const struct process *p) {
    for (size_t low = 0, high = count; low < high;) {  // /proc lists by rising pid
        size_t middle = low + (high - low) / 2;
        if (table[middle].pid == p->parent) return table[middle].wanted;
        if (table[middle].pid < p->parent)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

// Mark what descends from something wanted, or from `root` itself.
static void spread(pid_t root) {
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            if (table[i].wanted || (table[i].parent != root && !parent_wanted(&table[i]))) continue;
            table[i].wanted = more = true;
        }
    }
}

static bool kill_wanted(void) {
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (!table[i].wanted || table[i].over) continue;
        if (!kill(table[i].pid, SIGKILL)) found = true;
    }
    free(table);
    table = 0;
    count = room = 0;
    return found;
}

bool tree_kill(int64_t mark, pid_t root) {
    if (!scan()) {  // no descriptors or no memory for a look: the root at least, and try again
        if (root > 0) kill(root, SIGKILL);
        return true;
    }
    for (size_t i = 0; i < count; i++)
        table[i].wanted = !table[i].over && ((root > 0 && table[i].pid == root) || has_mark(table[i].pid, mark));
    spread(root > 0 ? root : -1);
    return kill_wanted();
}

void tree_kill_all(void) {
    if (getpid() == 1) {
        kill(-1, SIGKILL);
        return;
    }
    if (scan()) {
        spread(getpid());
        kill_wanted();
    }
}
