/* A clock that jumps, for one process: preloaded, it adds an offset to the time of day. The offset is the eight
 * bytes (nanoseconds, signed) of the file that LANDFALL_TEST_CLOCK names, and whoever writes them makes the clock
 * jump. The monotonic clock goes on as it does where a real one is set. No memory is allocated: the process has an
 * allocator of its own, which asks for the time before it can give any. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static const int64_t SECOND = 1000000000;

static const int64_t *offset;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_timedwait)(cnd_t *, mtx_t *, const struct timespec *);

static struct timespec moved(struct timespec time, int64_t by) {
    int64_t nanoseconds = time.tv_nsec + by % SECOND;
    time.tv_sec += by / SECOND + (nanoseconds >= SECOND) - (nanoseconds < 0);
    time.tv_nsec = nanoseconds + (nanoseconds < 0) * SECOND - (nanoseconds >= SECOND) * SECOND;
    return time;
}

static int64_t off(void) { return offset ? __atomic_load_n(offset, __ATOMIC_RELAXED) : 0; }

int clock_gettime(clockid_t clock, struct timespec *time) {
    /* Who asks before this library has begun. */
    int failed = real_gettime ? real_gettime(clock, time) : (int)syscall(SYS_clock_gettime, clock, time);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        *time = moved(*time, off());
    return failed;
}

int gettimeofday(struct timeval *restrict value, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    value->tv_sec = now.tv_sec;
    value->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *value) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (value)
        *value = now.tv_sec;
    return now.tv_sec;
}

/* librdkafka's threads wait until a time of day. Who waits while the clock is set back waits for so much longer, as
 * with a real clock; who waits while it is set forward wakes no later than without. */
int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    for (;;) {
        int64_t before = off();
        struct timespec end = moved(*until, -before);
        int ended = real_timedwait(condition, mutex, &end);
        if (ended != thrd_timedout || off() >= before)
            return ended;
    }
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("LANDFALL_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    real_timedwait = (int (*)(cnd_t *, mtx_t *, const struct timespec *))dlsym(RTLD_NEXT, "cnd_timedwait");
    if (map == MAP_FAILED || !real_timedwait) {
        static const char said[] = "clock.c: LANDFALL_TEST_CLOCK names no file with an offset\n";
        (void)!write(STDERR_FILENO, said, sizeof said - 1);
        _exit(127);
    }
    close(file);
    real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    offset = map;
}
