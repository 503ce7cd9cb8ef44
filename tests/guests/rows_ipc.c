/* System V messages, semaphores and segments, and POSIX queues: every command, flag and main error. */
#include "shown.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif

struct letter {
    long type;
    char text[16];
};

static void messages(void)
{
    struct letter letter = {3, "a letter"};
    struct msqid_ds state;
    int queue = (int)TRY_SOME(msgget, IPC_PRIVATE, 0600 | IPC_CREAT);
    TRY(msgget, 0x7e57ab1e, 0600);
    TRY(msgsnd, queue, &letter, 8, IPC_NOWAIT);
    TRY(msgsnd, queue, &letter, 0, 0);
    TRY(msgsnd, queue, &letter, -1L, 0);
    static char long_[1 << 19] = {1};
    TRY(msgsnd, queue, long_, sizeof long_ - 8, IPC_NOWAIT);
    TRY(msgsnd, queue, WILD, 8, 0);
    TRY(msgsnd, -1, &letter, 8, 0);
    letter.type = 0;
    TRY(msgsnd, queue, &letter, 8, 0);
    TRY(msgctl, queue, IPC_STAT, &state);
    SHOW(state.msg_qnum);
    SHOW(state.__msg_cbytes);
    SHOW(state.msg_perm.mode);
    TRY(msgctl, queue, IPC_STAT, WILD);
    state.msg_qbytes = 10;
    state.msg_perm.mode = 0640;
    TRY(msgctl, queue, IPC_SET, &state);
    TRY(msgctl, queue, IPC_SET, WILD);
    TRY(msgsnd, queue, &(struct letter){.type = 1}, 8, IPC_NOWAIT);
    memset(&letter, 0, sizeof letter);
    TRY(msgrcv, queue, &letter, 4, 0, IPC_NOWAIT);
    TRY(msgrcv, queue, &letter, 4, 0, IPC_NOWAIT | MSG_NOERROR);
    show_bytes("letter", &letter, sizeof letter);
    TRY(msgrcv, queue, &letter, 16, 4, IPC_NOWAIT);
    TRY(msgrcv, queue, &letter, 16, 3, IPC_NOWAIT | MSG_EXCEPT);
    TRY(msgrcv, queue, &letter, 16, 0, IPC_NOWAIT | MSG_COPY);
    TRY(msgrcv, queue, &letter, 16, -10, IPC_NOWAIT);
    TRY(msgrcv, queue, &letter, -1L, 0, IPC_NOWAIT);
    TRY(msgrcv, queue, WILD, 16, 0, IPC_NOWAIT);
    TRY(msgrcv, -1, &letter, 16, 0, IPC_NOWAIT);
    struct msginfo info;
    CHECK(RAW(msgctl, 0, IPC_INFO, &info) >= 0);
    SHOW(info.msgmax);
    CHECK(RAW(msgctl, 0, MSG_INFO, &info) >= 0);
    TRY(msgctl, -1, MSG_STAT, &state);
    TRY(msgctl, -1, MSG_STAT_ANY, &state);
    TRY(msgctl, queue, 77, &state);
    TRY(msgctl, queue, IPC_RMID, NULL);
    TRY(msgctl, queue, IPC_RMID, NULL);
}

static void semaphores(void)
{
    struct semid_ds state;
    int set = (int)TRY_SOME(semget, IPC_PRIVATE, 3, 0600 | IPC_CREAT);
    TRY(semget, IPC_PRIVATE, -1, 0600);
    TRY(semget, 0x7e57ab1e, 1, 0600);
    TRY(semctl, set, 0, SETVAL, 1);
    TRY(semctl, set, 1, SETVAL, 2);
    TRY(semctl, set, 1, GETVAL);
    TRY(semctl, set, 1, SETVAL, 40000);
    TRY(semctl, set, 9, GETVAL);
    TRY(semctl, set, 1, GETNCNT);
    TRY(semctl, set, 1, GETZCNT);
    TRY(semctl, set, 0, IPC_STAT, &state);
    SHOW(state.sem_nsems);
    TRY(semctl, set, 0, IPC_STAT, WILD);
    state.sem_perm.mode = 0644;
    TRY(semctl, set, 0, IPC_SET, &state);
    struct seminfo info;
    CHECK(RAW(semctl, 0, 0, IPC_INFO, &info) >= 0);
    SHOW(info.semmsl);
    CHECK(RAW(semctl, 0, 0, SEM_INFO, &info) >= 0);
    TRY(semctl, -1, 0, SEM_STAT, &state);
    TRY(semctl, -1, 0, SEM_STAT_ANY, &state);
    TRY(semctl, set, 0, 77, 0);
    struct sembuf take = {0, -1, IPC_NOWAIT}, too_many[600], beyond = {9, 1, 0}, wait = {0, -5, 0};
    memset(too_many, 0, sizeof too_many);
    TRY(semop, set, &take, 1);
    TRY(semop, set, &take, 1);
    TRY(semop, set, too_many, 600);
    TRY(semop, set, &beyond, 1);
    TRY(semop, set, WILD, 1);
    TRY(semop, set, &take, 0);
    TRY(semop, -1, &take, 1);
    struct timespec soon = {0, 20000000}, odd = {0, -1};
    TRY(semtimedop, set, &wait, 1, &soon);
    TRY(semtimedop, set, &wait, 1, &odd);
    TRY(semtimedop, set, &wait, 1, WILD);
    TRY(semtimedop, set, &take, 0, &soon);
    struct sembuf give = {0, 5, 0};
    pid_t child = CHILD({
        pause_ms(30);
        OKAY(semop(set, &give, 1));
    });
    TRY(semtimedop, set, &wait, 1, (&(struct timespec){10, 0}));
    EXITS(child, 0);
    // One who ends gives back what it has taken.
    OKAY(semop(set, &give, 1));
    APART({
        struct sembuf undone = {0, -3, SEM_UNDO};
        TRY(semop, set, &undone, 1);
        TRY(semctl, set, 0, GETVAL);
    });
    TRY(semctl, set, 0, GETVAL);
    TRY(semctl, set, 0, IPC_RMID);
    TRY(semop, set, &take, 1);
}

/* These bring the process home. */
static void all_values(void)
{
    unsigned short values[3] = {1, 2, 3};
    int set = (int)OKAY(semget(IPC_PRIVATE, 3, 0600 | IPC_CREAT));
    TRY(semctl, set, 0, SETALL, values);
    memset(values, 0, sizeof values);
    TRY(semctl, set, 0, GETALL, values);
    show_bytes("values", values, sizeof values);
    TRY(semctl, set, 0, GETALL, WILD);
    OKAY(semctl(set, 0, IPC_RMID));
}

static void segments(void)
{
    struct shmid_ds state;
    struct shminfo info;
    struct shm_info more;
    int segment = (int)TRY_SOME(shmget, IPC_PRIVATE, 5000, 0600 | IPC_CREAT);
    TRY(shmget, IPC_PRIVATE, 0, 0600 | IPC_CREAT);
    TRY(shmget, 0x7e57ab1e, 1, 0600);
    TRY(shmctl, segment, IPC_STAT, &state);
    SHOW(state.shm_segsz);
    SHOW(state.shm_nattch);
    state.shm_perm.mode = 0640;
    TRY(shmctl, segment, IPC_SET, &state);
    TRY(shmctl, segment, IPC_STAT, WILD);
    TRY(shmctl, segment, SHM_LOCK, NULL);
    TRY(shmctl, segment, SHM_UNLOCK, NULL);
    CHECK(RAW(shmctl, 0, IPC_INFO, &info) >= 0);
    CHECK(RAW(shmctl, 0, SHM_INFO, &more) >= 0);
    TRY(shmctl, -1, SHM_STAT, &state);
    TRY(shmctl, -1, SHM_STAT_ANY, &state);
    TRY(shmctl, segment, 77, &state);
    TRY(shmdt, NULL);
    TRY(shmdt, WILD);
    TRY(shmctl, segment, IPC_RMID, NULL);
    TRY(shmctl, segment, IPC_RMID, NULL);
}

static volatile sig_atomic_t code, value;

static void hear(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    value = info->si_value.sival_int;
    code = info->si_code;
}

static void queues(void)
{
    char name[64], text[64] = {0};
    snprintf(name, sizeof name, "homenode-rows-%d", getpid());
    struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 16}, set = {.mq_flags = O_NONBLOCK};
    int queue = (int)TRY(mq_open, name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (queue == -1)
        return;
    TRY(mq_open, name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    TRY(mq_open, "/slash", O_RDWR | O_CREAT, 0600, NULL);
    TRY(mq_open, "no such queue", O_RDWR);
    TRY(mq_open, WILD, O_RDWR);
    TRY(mq_open, "wild", O_RDWR | O_CREAT, 0600, WILD);
    handle(SIGUSR1, hear, 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 7};
    TRY(mq_notify, queue, &event);
    TRY(mq_notify, queue, &event);
    TRY(mq_timedsend, queue, "first", 5, 1, NULL);
    for (int tries = 0; code == 0 && tries < 5000; tries++)
        pause_ms(1);
    SHOW(code);
    SHOW(value);
    TRY(mq_notify, queue, NULL);
    event.sigev_signo = 100;
    TRY(mq_notify, queue, &event);
    event.sigev_notify = SIGEV_NONE;
    TRY(mq_notify, queue, &event);
    TRY(mq_notify, queue, NULL);
    TRY(mq_notify, queue, WILD);
    TRY(mq_notify, 0, &event);
    TRY(mq_timedsend, queue, "second", 6, 9, NULL);
    struct timespec past = {1, 0}, odd = {1, -1};
    TRY(mq_timedsend, queue, "third", 5, 9, &past);
    TRY(mq_timedsend, queue, "third", 5, 9, &odd);
    TRY(mq_timedsend, queue, "too long for a message", 22, 9, NULL);
    TRY(mq_timedsend, queue, "third", 5, 40000, NULL);
    TRY(mq_timedsend, queue, WILD, 5, 9, &past);
    TRY(mq_timedsend, 0, "third", 5, 9, NULL);
    TRY(mq_getsetattr, queue, &set, &attributes);
    SHOW(attributes.mq_curmsgs);
    SHOW(attributes.mq_maxmsg);
    TRY(mq_getsetattr, queue, NULL, &attributes);
    SHOW(attributes.mq_flags == O_NONBLOCK);
    TRY(mq_getsetattr, queue, WILD, NULL);
    TRY(mq_getsetattr, queue, NULL, WILD);
    set.mq_flags = 1;
    TRY(mq_getsetattr, queue, &set, NULL);
    TRY(mq_getsetattr, 0, NULL, &attributes);
    TRY(mq_timedsend, queue, "third", 5, 9, NULL);
    unsigned priority = 0;
    TRY(mq_timedreceive, queue, text, 8, &priority, NULL);
    TRY(mq_timedreceive, queue, text, sizeof text, &priority, NULL);
    SHOW(priority);
    show_bytes("message", text, sizeof text);
    TRY(mq_timedreceive, queue, text, sizeof text, NULL, &past);
    TRY(mq_timedreceive, queue, text, sizeof text, &priority, NULL);
    TRY(mq_timedreceive, queue, WILD, sizeof text, &priority, NULL);
    TRY(mq_timedreceive, 0, text, sizeof text, &priority, NULL);
    // By a message to a socket, as libc's own SIGEV_THREAD.
    TRY(mq_unlink, name);
    TRY(mq_unlink, name);
    TRY(mq_unlink, WILD);
    close(queue);
}

int main(void)
{
    messages();
    semaphores();
    segments();
    queues();
    all_values();
    return ok("rows_ipc");
}
