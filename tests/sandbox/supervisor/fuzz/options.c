// Of a sanitized supervisor: what a process leaves when it ends is no leak, and SIGSEGV keeps what it does in ours.
const char *__asan_default_options(void);

const char *__asan_default_options(void) { return "detect_leaks=0:handle_segv=0"; }
