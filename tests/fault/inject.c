/* SPDX-License-Identifier: MIT
 * inject.c - the wrappers that inject.h describes.
 *
 * With large files (Meson's default) glibc's headers turn open into open64
 * and so on. Both names are wrapped, and both call the function that has a
 * 64-bit off_t.
 */
#define _GNU_SOURCE 1
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "the wrappers need a 64-bit off_t");

/* On 32-bit systems the plain functions of glibc have a 32-bit off_t. */
#if defined(__GLIBC__) && ULONG_MAX == UINT32_MAX
#define __real_open      __real_open64
#define __real_pread     __real_pread64
#define __real_ftruncate __real_ftruncate64
#define __real_fstat     __real_fstat64
#define __real_stat      __real_stat64
#define __real_mmap      __real_mmap64
#endif

struct plan {
    atomic_ulong calls;
    atomic_ulong fail_at; /* 0: never */
    atomic_int error;
    atomic_int fail_times;
    atomic_ulong short_at; /* 0: never */
    atomic_size_t short_bytes;
    atomic_int short_times;
    atomic_ulong before_at; /* 0: never */
    void (*before)(void *arg); /* written before before_at, and its arg */
    void *before_arg;
};

static struct plan plans[INJECT_ALL_KINDS];
static atomic_ulong hits;
static atomic_uint file_type;
static atomic_long blocks;
static atomic_long processors;
static atomic_uint losses, lost;

static const struct {
    const char *name;
    int error;
} kinds[INJECT_ALL_KINDS] = {
    [INJECT_OPEN] = { "open", EACCES },
    [INJECT_CLOSE] = { "close", EIO },
    [INJECT_WRITE] = { "write", ENOSPC },
    [INJECT_WRITEV] = { "writev", ENOSPC },
    [INJECT_PREAD] = { "pread", EIO },
    [INJECT_FTRUNCATE] = { "ftruncate", EIO },
    [INJECT_FDATASYNC] = { "fdatasync", EIO },
    [INJECT_FSYNC] = { "fsync", EIO },
    [INJECT_FLOCK] = { "flock", ENOLCK },
    [INJECT_FSTAT] = { "fstat", EIO },
    [INJECT_STAT] = { "stat", EIO },
    [INJECT_POLL] = { "poll", ENOMEM },
    [INJECT_ALLOC] = { "posix_memalign", ENOMEM },
    [INJECT_RANDOM] = { "getentropy", ENOSYS },
    [INJECT_MAP] = { "mmap", ENOMEM },
    [INJECT_ADVISE] = { "madvise", EINVAL },
    [INJECT_MUTEX_INIT] = { "pthread_mutex_init", EAGAIN },
    [INJECT_COND_INIT] = { "pthread_cond_init", EAGAIN },
    [INJECT_SEM_INIT] = { "sem_init", ENOSPC },
    [INJECT_ATTR_INIT] = { "pthread_attr_init", ENOMEM },
    [INJECT_THREAD] = { "pthread_create", EAGAIN },
    [INJECT_ANY] = { "any", 0 },
    [INJECT_CLOCK] = { "clock_gettime", EINVAL },
    [INJECT_CPU_CLOCK] = { "pthread_getcpuclockid", ENOENT },
    [INJECT_SEM_POST] = { "sem_post", EOVERFLOW },
    [INJECT_SEM_TRY] = { "sem_trywait", EINTR },
    [INJECT_SEM_WAIT] = { "sem_wait", EINTR },
    [INJECT_LOCK] = { "pthread_mutex_lock", EINVAL },
    [INJECT_UNLOCK] = { "pthread_mutex_unlock", EPERM },
    [INJECT_JOIN] = { "pthread_join", EDEADLK },
    [INJECT_STACK] = { "pthread_attr_setstacksize", EINVAL },
    [INJECT_SYSCONF] = { "sysconf", EINVAL },
    [INJECT_YIELD] = { "sched_yield", ENOSYS },
};

void inject_reset(void)
{
    for (size_t i = 0; i < INJECT_ALL_KINDS; i++) {
        atomic_store(&plans[i].fail_at, 0);
        atomic_store(&plans[i].short_at, 0);
        atomic_store(&plans[i].before_at, 0);
        atomic_store(&plans[i].calls, 0);
    }
    atomic_store(&hits, 0);
    atomic_store(&file_type, 0);
    atomic_store(&processors, 0);
    atomic_store(&losses, 0);
}

void inject_processors(long count)
{
    atomic_store(&processors, count);
}

void inject_before(enum inject_kind kind, unsigned long at,
                   void (*fn)(void *arg), void *arg)
{
    plans[kind].before = fn;
    plans[kind].before_arg = arg;
    atomic_store(&plans[kind].before_at,
                 atomic_load(&plans[kind].calls) + at);
}

void inject_file_type(unsigned type)
{
    atomic_store(&file_type, type);
}

void inject_fail(enum inject_kind kind, unsigned long at, int error,
                 enum inject_times times)
{
    atomic_store(&plans[kind].error, error);
    atomic_store(&plans[kind].fail_times, (int)times);
    atomic_store(&plans[kind].fail_at, at);
}

void inject_short(enum inject_kind kind, unsigned long at, size_t bytes,
                  enum inject_times times)
{
    atomic_store(&plans[kind].short_bytes, bytes);
    atomic_store(&plans[kind].short_times, (int)times);
    atomic_store(&plans[kind].short_at, at);
}

unsigned long inject_calls(enum inject_kind kind)
{
    return atomic_load(&plans[kind].calls);
}

unsigned long inject_hits(void)
{
    return atomic_load(&hits);
}

long inject_blocks(void)
{
    return atomic_load(&blocks);
}

static _Thread_local struct {
    void (*fn)(void *arg);
    void *arg;
} at_unlock, at_prepare_wait;

void inject_at_unlock(void (*fn)(void *arg), void *arg)
{
    at_unlock.fn = fn;
    at_unlock.arg = arg;
}

void inject_at_prepare_wait(void (*fn)(void *arg), void *arg)
{
    at_prepare_wait.fn = fn;
    at_prepare_wait.arg = arg;
}

/* moment.h is for the core only. */
void inject_wait_prepared(void);
bool inject_cas_fails(void);

void inject_cas_failures(unsigned n)
{
    atomic_store(&losses, n);
}

bool inject_cas_fails(void)
{
    unsigned n = atomic_load(&losses);

    return n > 1 && atomic_fetch_add(&lost, 1) % n != 0;
}

void inject_wait_prepared(void)
{
    void (*fn)(void *arg) = at_prepare_wait.fn;

    at_prepare_wait.fn = NULL;
    if (fn != NULL)
        fn(at_prepare_wait.arg);
}

const char *inject_name(enum inject_kind kind)
{
    return kinds[kind].name;
}

static bool is_due(unsigned long at, int times, unsigned long call)
{
    return at != 0 && (call == at || (times == INJECT_ALWAYS && call > at));
}

/* Count a call. Returns the errno it must fail with, or 0, and lowers `*bytes`,
 * if not NULL, if the call must be short. */
static int count_call(enum inject_kind kind, size_t *bytes)
{
    struct plan *plan = &plans[kind];
    struct plan *any = &plans[INJECT_ANY];
    unsigned long call = atomic_fetch_add(&plan->calls, 1) + 1;
    bool swept = kind < INJECT_KINDS;
    unsigned long of_all = swept ? atomic_fetch_add(&any->calls, 1) + 1 : 0;
    int error = 0;

    if (call == atomic_load(&plan->before_at))
        plan->before(plan->before_arg);
    if (is_due(atomic_load(&plan->fail_at), atomic_load(&plan->fail_times),
               call)) {
        error = atomic_load(&plan->error);
        error = error != 0 ? error : kinds[kind].error;
    } else if (swept &&
               is_due(atomic_load(&any->fail_at),
                      atomic_load(&any->fail_times), of_all)) {
        error = atomic_load(&any->error);
        error = error != 0 ? error : kinds[kind].error;
    }
    if (error != 0) {
        atomic_fetch_add(&hits, 1);
    } else if (bytes != NULL &&
               is_due(atomic_load(&plan->short_at),
                      atomic_load(&plan->short_times), call)) {
        size_t most = atomic_load(&plan->short_bytes);

        if (*bytes > most) {
            *bytes = most;
            atomic_fetch_add(&hits, 1);
        }
    }
    return error;
}

/* For calls that set errno. */
#define FAIL_IF_DUE(kind, bytes)                                            \
    do {                                                                    \
        int due_ = count_call(kind, bytes);                                 \
        if (due_ != 0) {                                                    \
            errno = due_;                                                   \
            return -1;                                                      \
        }                                                                   \
    } while (0)

/* The linker's names; no header has them. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __real_write(int fd, const void *bytes, size_t count);
ssize_t __wrap_write(int fd, const void *bytes, size_t count);
ssize_t __real_writev(int fd, const struct iovec *pieces, int count);
ssize_t __wrap_writev(int fd, const struct iovec *pieces, int count);
ssize_t __real_pread(int fd, void *buffer, size_t bytes, off_t offset);
ssize_t __wrap_pread(int fd, void *buffer, size_t bytes, off_t offset);
ssize_t __wrap_pread64(int fd, void *buffer, size_t bytes, off_t offset);
int __real_ftruncate(int fd, off_t bytes);
int __wrap_ftruncate(int fd, off_t bytes);
int __wrap_ftruncate64(int fd, off_t bytes);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_flock(int fd, int what);
int __wrap_flock(int fd, int what);
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);
int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);
int __wrap_stat64(const char *path, struct stat *st);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __real_posix_memalign(void **memory, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void __real_free(void *memory);
void __wrap_free(void *memory);
int __real_getentropy(void *buffer, size_t bytes);
int __wrap_getentropy(void *buffer, size_t bytes);
void *__real_mmap(void *at, size_t bytes, int prot, int flags, int fd,
                  off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd,
                  off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd,
                    off_t offset);
int __real_madvise(void *at, size_t bytes, int advice);
int __wrap_madvise(void *at, size_t bytes, int advice);
int __real_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attr);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __real_pthread_cond_init(pthread_cond_t *cond,
                             const pthread_condattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *cond,
                             const pthread_condattr_t *attr);
int __real_sem_init(sem_t *sem, int shared, unsigned value);
int __wrap_sem_init(sem_t *sem, int shared, unsigned value);
int __real_pthread_attr_init(pthread_attr_t *attr);
int __wrap_pthread_attr_init(pthread_attr_t *attr);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*fn)(void *), void *arg);

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __real_pthread_getcpuclockid(pthread_t thread, clockid_t *clock);
int __wrap_pthread_getcpuclockid(pthread_t thread, clockid_t *clock);
int __real_sem_post(sem_t *sem);
int __wrap_sem_post(sem_t *sem);
int __real_sem_trywait(sem_t *sem);
int __wrap_sem_trywait(sem_t *sem);
int __real_sem_wait(sem_t *sem);
int __wrap_sem_wait(sem_t *sem);
int __real_sem_timedwait(sem_t *sem, const struct timespec *until);
int __wrap_sem_timedwait(sem_t *sem, const struct timespec *until);
/* Not every system has this function; then nothing calls it. */
__attribute__((weak)) int __real_sem_clockwait(sem_t *sem, clockid_t clock,
                                               const struct timespec *until);
int __wrap_sem_clockwait(sem_t *sem, clockid_t clock,
                         const struct timespec *until);
int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result);
int __real_pthread_attr_setstacksize(pthread_attr_t *attr, size_t bytes);
int __wrap_pthread_attr_setstacksize(pthread_attr_t *attr, size_t bytes);
int __real_sched_yield(void);
int __real_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set);
int __wrap_sched_yield(void);
long __real_sysconf(int name);
long __wrap_sysconf(int name);

/* ---- files ---- */

int __wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    if ((flags & O_CREAT) != 0) {
        va_list args;

        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (atomic_load(&processors) != 0 &&
        strcmp(path, "/proc/self/cgroup") == 0) {
        errno = ENOENT;
        return -1;
    }
    FAIL_IF_DUE(INJECT_OPEN, NULL);
    return __real_open(path, flags, mode);
}

int __wrap_open64(const char *path, int flags, ...)
{
    mode_t mode = 0;

    if ((flags & O_CREAT) != 0) {
        va_list args;

        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return __wrap_open(path, flags, mode);
}

int __wrap_close(int fd)
{
    int error = count_call(INJECT_CLOSE, NULL);

    if (error == 0)
        return __real_close(fd);
    /* as on Linux: the descriptor is gone even if close fails */
    __real_close(fd);
    errno = error;
    return -1;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t count)
{
    FAIL_IF_DUE(INJECT_WRITE, &count);
    return __real_write(fd, bytes, count);
}

ssize_t __wrap_writev(int fd, const struct iovec *pieces, int count)
{
    size_t all = 0, left;
    struct iovec some[8];
    int used = 0;

    for (int i = 0; i < count; i++)
        all += pieces[i].iov_len;
    left = all;
    FAIL_IF_DUE(INJECT_WRITEV, &left);
    if (left == all)
        return __real_writev(fd, pieces, count);
    for (int i = 0; i < count && i < 8 && left > 0; i++) {
        some[i] = pieces[i];
        if (some[i].iov_len > left)
            some[i].iov_len = left;
        left -= some[i].iov_len;
        used++;
    }
    return used == 0 ? 0 : __real_writev(fd, some, used);
}

ssize_t __wrap_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    FAIL_IF_DUE(INJECT_PREAD, &bytes);
    return __real_pread(fd, buffer, bytes, offset);
}

ssize_t __wrap_pread64(int fd, void *buffer, size_t bytes, off_t offset)
{
    return __wrap_pread(fd, buffer, bytes, offset);
}

int __wrap_ftruncate(int fd, off_t bytes)
{
    FAIL_IF_DUE(INJECT_FTRUNCATE, NULL);
    return __real_ftruncate(fd, bytes);
}

int __wrap_ftruncate64(int fd, off_t bytes)
{
    return __wrap_ftruncate(fd, bytes);
}

int __wrap_fdatasync(int fd)
{
    FAIL_IF_DUE(INJECT_FDATASYNC, NULL);
    return __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
    FAIL_IF_DUE(INJECT_FSYNC, NULL);
    return __real_fsync(fd);
}

int __wrap_flock(int fd, int what)
{
    FAIL_IF_DUE(INJECT_FLOCK, NULL);
    return __real_flock(fd, what);
}

int __wrap_fstat(int fd, struct stat *st)
{
    unsigned type = atomic_load(&file_type);
    int err;

    FAIL_IF_DUE(INJECT_FSTAT, NULL);
    err = __real_fstat(fd, st);
    if (err == 0 && type != 0)
        st->st_mode = (st->st_mode & ~(mode_t)S_IFMT) | type;
    return err;
}

int __wrap_fstat64(int fd, struct stat *st)
{
    return __wrap_fstat(fd, st);
}

int __wrap_stat(const char *path, struct stat *st)
{
    FAIL_IF_DUE(INJECT_STAT, NULL);
    return __real_stat(path, st);
}

int __wrap_stat64(const char *path, struct stat *st)
{
    return __wrap_stat(path, st);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    FAIL_IF_DUE(INJECT_POLL, NULL);
    return __real_poll(fds, count, timeout_ms);
}

/* ---- memory ---- */

int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    int error = count_call(INJECT_ALLOC, NULL);

    if (error == 0)
        error = __real_posix_memalign(memory, alignment, bytes);
    if (error == 0)
        atomic_fetch_add(&blocks, 1);
    return error;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    void *memory = NULL;

    if (count_call(INJECT_ALLOC, NULL) == 0)
        memory = __real_calloc(count, bytes);
    if (memory != NULL)
        atomic_fetch_add(&blocks, 1);
    return memory;
}

void __wrap_free(void *memory)
{
    if (memory != NULL)
        atomic_fetch_sub(&blocks, 1);
    __real_free(memory);
}

int __wrap_getentropy(void *buffer, size_t bytes)
{
    FAIL_IF_DUE(INJECT_RANDOM, NULL);
    return __real_getentropy(buffer, bytes);
}

void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd,
                  off_t offset)
{
    int error = count_call(INJECT_MAP, NULL);

    if (error == 0)
        return __real_mmap(at, bytes, prot, flags, fd, offset);
    errno = error;
    return MAP_FAILED;
}

void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd,
                    off_t offset)
{
    return __wrap_mmap(at, bytes, prot, flags, fd, offset);
}

int __wrap_madvise(void *at, size_t bytes, int advice)
{
    size_t taken = bytes;

    FAIL_IF_DUE(INJECT_ADVISE, &taken);
    return taken < bytes ? 0 : __real_madvise(at, bytes, advice);
}

/* ---- threads ---- */

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attr)
{
    int error = count_call(INJECT_MUTEX_INIT, NULL);

    return error != 0 ? error : __real_pthread_mutex_init(mutex, attr);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    void (*fn)(void *arg) = at_unlock.fn;

    int error = count_call(INJECT_UNLOCK, NULL);

    at_unlock.fn = NULL;
    if (fn != NULL)
        fn(at_unlock.arg);
    __real_pthread_mutex_unlock(mutex);
    return error;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    int error = count_call(INJECT_LOCK, NULL);

    return error != 0 ? error : __real_pthread_mutex_lock(mutex);
}

int __wrap_pthread_cond_init(pthread_cond_t *cond,
                             const pthread_condattr_t *attr)
{
    int error = count_call(INJECT_COND_INIT, NULL);

    return error != 0 ? error : __real_pthread_cond_init(cond, attr);
}

int __wrap_sem_init(sem_t *sem, int shared, unsigned value)
{
    FAIL_IF_DUE(INJECT_SEM_INIT, NULL);
    return __real_sem_init(sem, shared, value);
}

int __wrap_pthread_attr_init(pthread_attr_t *attr)
{
    int error = count_call(INJECT_ATTR_INIT, NULL);

    return error != 0 ? error : __real_pthread_attr_init(attr);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*fn)(void *), void *arg)
{
    int error = count_call(INJECT_THREAD, NULL);

    return error != 0 ? error : __real_pthread_create(thread, attr, fn, arg);
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    int error = count_call(INJECT_JOIN, NULL);

    return error != 0 ? error : __real_pthread_join(thread, result);
}

int __wrap_pthread_attr_setstacksize(pthread_attr_t *attr, size_t bytes)
{
    int error = count_call(INJECT_STACK, NULL);

    return error != 0 ? error : __real_pthread_attr_setstacksize(attr, bytes);
}

int __wrap_sem_post(sem_t *sem)
{
    FAIL_IF_DUE(INJECT_SEM_POST, NULL);
    return __real_sem_post(sem);
}

int __wrap_sem_trywait(sem_t *sem)
{
    FAIL_IF_DUE(INJECT_SEM_TRY, NULL);
    return __real_sem_trywait(sem);
}

int __wrap_sem_wait(sem_t *sem)
{
    FAIL_IF_DUE(INJECT_SEM_WAIT, NULL);
    return __real_sem_wait(sem);
}

int __wrap_sem_timedwait(sem_t *sem, const struct timespec *until)
{
    FAIL_IF_DUE(INJECT_SEM_WAIT, NULL);
    return __real_sem_timedwait(sem, until);
}

int __wrap_sem_clockwait(sem_t *sem, clockid_t clock,
                         const struct timespec *until)
{
    FAIL_IF_DUE(INJECT_SEM_WAIT, NULL);
    return __real_sem_clockwait(sem, clock, until);
}

/* ---- clocks and the rest ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    FAIL_IF_DUE(INJECT_CLOCK, NULL);
    return __real_clock_gettime(clock, time);
}

int __wrap_pthread_getcpuclockid(pthread_t thread, clockid_t *clock)
{
    int error = count_call(INJECT_CPU_CLOCK, NULL);

    return error != 0 ? error : __real_pthread_getcpuclockid(thread, clock);
}

long __wrap_sysconf(int name)
{
    long count = atomic_load(&processors);

    FAIL_IF_DUE(INJECT_SYSCONF, NULL);
    return name == _SC_NPROCESSORS_ONLN && count != 0 ? count
                                                      : __real_sysconf(name);
}

int __wrap_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set)
{
    if (atomic_load(&processors) != 0) {
        errno = ENOSYS;
        return -1;
    }
    return __real_sched_getaffinity(pid, bytes, set);
}

int __wrap_sched_yield(void)
{
    FAIL_IF_DUE(INJECT_YIELD, NULL);
    return __real_sched_yield();
}
