// What both fuzz targets share: seeded draws and mutations. The same seed gives the same inputs on every machine.
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t draw_state;

static uint64_t draw(void) {  // splitmix64
    uint64_t z = draw_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t below(size_t bound) { return bound ? (size_t)(draw() % bound) : 0; }

// Change a few bytes, or insert, double or cut a range; the new length, at most `cap`.
static size_t mutate(uint8_t *data, size_t len, size_t cap) {
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, '-', '9', '=', '/', '.', '\n', ' '};
    for (size_t n = 1 + below(4); n-- && len;) {
        size_t at = below(len), size = 1 + below(len - at < 32 ? len - at : 32);
        switch (below(6)) {
            case 0: data[at] ^= (uint8_t)(1u << below(8)); break;
            case 1: data[at] = edges[below(sizeof edges)]; break;
            case 2: data[at] = (uint8_t)draw(); break;
            case 3:
                memmove(data + at, data + at + size, len - at - size);
                len -= size;
                break;
            case 4:
                if (len + size > cap) break;
                memmove(data + at + size, data + at, len - at);
                len += size;
                break;
            default: memset(data + at, edges[below(sizeof edges)], size);
        }
    }
    return len;
}

static uint64_t argument(char **argv, int which) { return strtoull(argv[which], 0, 10); }

#endif
