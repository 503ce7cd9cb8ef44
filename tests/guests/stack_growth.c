/* The stack grows to 6 MiB on its own; buffers of calls lie in it; its limit ends it. */
#include "guest.h"
#include <sys/resource.h>

__attribute__((noinline)) static long descend(int depth)
{
    volatile char frame[64 * 1024];
    frame[0] = (char)depth;
    frame[sizeof frame - 1] = 1;
    if (depth == 0)
        return frame[sizeof frame - 1];
    return descend(depth - 1) + frame[sizeof frame - 1];
}

__attribute__((noinline)) static void use_in_call(void)
{
    char buffer[3 << 20];
    int fd = (int)OKAY(open("/dev/zero", O_RDONLY));
    EQUAL(OKAY(read(fd, buffer, sizeof buffer)), sizeof buffer);
    for (size_t i = 0; i < sizeof buffer; i += 1000)
        EQUAL(buffer[i], 0);
}

static void *in_thread(void *nothing)
{
    EQUAL(descend(50), 51);
    return nothing;
}

int main(void)
{
    struct rlimit limit;
    OKAY(getrlimit(RLIMIT_STACK, &limit));
    CHECK(limit.rlim_cur >= 8 << 20);
    use_in_call();
    EQUAL(descend(95), 96);
    pthread_t thread;
    ZERO(pthread_create(&thread, NULL, in_thread, NULL));
    ZERO(pthread_join(thread, NULL));
    OKAY(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
    OKAY(setrlimit(RLIMIT_STACK, &(struct rlimit){8 << 20, limit.rlim_max}));
    pid_t child = CHILD(_exit((int)descend(100000)));
    DIES(child, SIGSEGV);
    return ok("stack_growth");
}
