/* Memory shared between processes: anonymous, of a file, System V, POSIX; a process-shared mutex. */
#include "guest.h"
#include <sys/ipc.h>
#include <sys/shm.h>

struct shared {
    pthread_mutex_t mutex;
    long counter;
};

static void count(struct shared *shared)
{
    pthread_mutexattr_t attributes;
    ZERO(pthread_mutexattr_init(&attributes));
    ZERO(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
    ZERO(pthread_mutex_init(&shared->mutex, &attributes));
    pid_t children[4];
    for (int i = 0; i < 4; i++)
        children[i] = CHILD({
            for (int j = 0; j < 1000; j++) {
                ZERO(pthread_mutex_lock(&shared->mutex));
                shared->counter++;
                ZERO(pthread_mutex_unlock(&shared->mutex));
            }
        });
    for (int i = 0; i < 4; i++)
        EXITS(children[i], 0);
    EQUAL(shared->counter, 4000);
}

int main(void)
{
    int rw = PROT_READ | PROT_WRITE;
    struct shared *anonymous = mmap(NULL, 4096, rw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(anonymous != MAP_FAILED);
    count(anonymous);

    int fd = (int)OKAY(open("file", O_RDWR | O_CREAT, 0600));
    OKAY(ftruncate(fd, 4096));
    struct shared *file = mmap(NULL, 4096, rw, MAP_SHARED, fd, 0);
    CHECK(file != MAP_FAILED);
    count(file);
    long counter;
    EQUAL(OKAY(pread(fd, &counter, sizeof counter, offsetof(struct shared, counter))), sizeof counter);
    EQUAL(counter, 4000);
    counter = 7;
    EQUAL(OKAY(pwrite(fd, &counter, sizeof counter, offsetof(struct shared, counter))), sizeof counter);
    EQUAL(file->counter, 7);
    OKAY(msync(file, 4096, MS_SYNC));
    OKAY(unlink("file"));

    int id = (int)OKAY(shmget(IPC_PRIVATE, 4096, 0600 | IPC_CREAT));
    struct shared *segment = shmat(id, NULL, 0);
    CHECK(segment != (void *)-1);
    OKAY(shmctl(id, IPC_RMID, NULL));
    count(segment);
    OKAY(shmdt(segment));

    char name[64];
    snprintf(name, sizeof name, "/homenode-guest-%d", getpid());
    fd = (int)OKAY(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    OKAY(shm_unlink(name));
    OKAY(ftruncate(fd, 4096));
    struct shared *posix = mmap(NULL, 4096, rw, MAP_SHARED, fd, 0);
    CHECK(posix != MAP_FAILED);
    count(posix);
    return ok("shared_memory");
}
