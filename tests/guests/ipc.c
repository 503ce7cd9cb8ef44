/* System V message queues and semaphores, POSIX message queues, each between two processes. */
#include "guest.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

struct letter {
    long type;
    char text[32];
};

int main(void)
{
    struct letter letter;
    int queue = (int)OKAY(msgget(IPC_PRIVATE, 0600 | IPC_CREAT));
    pid_t child = CHILD({
        letter = (struct letter){2, "second kind"};
        OKAY(msgsnd(queue, &letter, sizeof letter.text, 0));
        letter = (struct letter){1, "first kind"};
        OKAY(msgsnd(queue, &letter, sizeof letter.text, 0));
    });
    EQUAL(OKAY(msgrcv(queue, &letter, sizeof letter.text, 1, 0)), sizeof letter.text);
    SAME_TEXT(letter.text, "first kind");
    EQUAL(OKAY(msgrcv(queue, &letter, sizeof letter.text, 0, 0)), sizeof letter.text);
    EQUAL(letter.type, 2);
    FAILS(msgrcv(queue, &letter, sizeof letter.text, 0, IPC_NOWAIT), ENOMSG);
    EXITS(child, 0);
    struct msqid_ds state;
    OKAY(msgctl(queue, IPC_STAT, &state));
    EQUAL(state.msg_lspid, child);
    EQUAL(state.msg_lrpid, getpid());
    OKAY(msgctl(queue, IPC_RMID, NULL));
    FAILS(msgsnd(queue, &letter, 1, 0), EINVAL);

    int semaphores = (int)OKAY(semget(IPC_PRIVATE, 2, 0600 | IPC_CREAT));
    union {
        int value;
        unsigned short *array;
    } argument = {.value = 0};
    OKAY(semctl(semaphores, 0, SETVAL, argument));
    child = CHILD({
        struct sembuf take[2] = {{0, -2, 0}, {1, 1, 0}};
        OKAY(semop(semaphores, take, 2));
    });
    pause_ms(10);
    struct sembuf give = {0, 1, SEM_UNDO};
    OKAY(semop(semaphores, &give, 1));
    OKAY(semop(semaphores, &give, 1));
    EXITS(child, 0);
    EQUAL(OKAY(semctl(semaphores, 1, GETVAL)), 1);
    EQUAL(OKAY(semctl(semaphores, 1, GETPID)), child);
    struct sembuf no_wait = {0, -1, IPC_NOWAIT};
    FAILS(semop(semaphores, &no_wait, 1), EAGAIN);
    OKAY(semctl(semaphores, 0, IPC_RMID));

    char name[64], text[64];
    snprintf(name, sizeof name, "/homenode-guest-%d", getpid());
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};
    mqd_t posix = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (posix == -1) {
        CHECK(errno == ENOSYS || errno == EMFILE);
        return ok("ipc");
    }
    OKAY(mq_unlink(name));
    child = CHILD({
        OKAY(mq_send(posix, "low", 3, 1));
        OKAY(mq_send(posix, "high", 4, 9));
    });
    EXITS(child, 0);
    unsigned priority;
    EQUAL(OKAY(mq_receive(posix, text, sizeof text, &priority)), 4);
    EQUAL(priority, 9);
    EQUAL(OKAY(mq_receive(posix, text, sizeof text, &priority)), 3);
    FAILS(mq_timedreceive(posix, text, sizeof text, NULL, &(struct timespec){1, 0}), ETIMEDOUT);
    return ok("ipc");
}
