/* Calls that work only at home: each in a program of its own, which it brings there, with what it does
 * and its main errors. */
#include "shown.h"
#include <asm/ldt.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/mempolicy.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <sys/prctl.h>
#include <sys/shm.h>

#define NOBODY 0x7ffffffe
#define PAGE 4096

static void *page(int flags)
{
    void *at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static void aio(void)
{
    aio_context_t context = 0;
    char text[8] = {0};
    struct io_event events[2];
    int fd = (int)OKAY(open("aio", O_RDWR | O_CREAT | O_TRUNC, 0600));
    OKAY(unlink("aio"));
    OKAY(write(fd, "content", 7));
    struct iocb read_ = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_buf = (uintptr_t)text,
                         .aio_nbytes = 7, .aio_data = 5};
    struct iocb *all[] = {&read_};
    struct timespec limit = {5, 0};
    TRY(io_setup, 0, &context);
    if (TRY(io_setup, 4, &context) == -1)
        return;
    TRY(io_submit, context, 1, all);
    TRY(io_getevents, context, 1, 2, events, &limit);
    SHOW(events[0].data);
    SHOW(events[0].res);
    show_bytes("read", text, sizeof text);
    TRY(io_submit, context, -1L, all);
    TRY(io_submit, context, 1, WILD);
    TRY(io_submit, 8, 1, all);
    TRY(io_cancel, context, &read_, events);
    TRY(io_submit, context, 1, all);
    TRY(io_pgetevents, context, 1, 2, events, &limit, NULL);
    SHOW(events[0].res);
    TRY(io_pgetevents, context, 3, 2, events, &limit, NULL);
    TRY(io_destroy, context);
    TRY(io_destroy, context);
}

static void rings(void)
{
    struct io_uring_params parameters = {0};
    TRY(io_uring_setup, 0, &parameters);
    TRY(io_uring_setup, 4, WILD);
    int fd = (int)TRY(io_uring_setup, 4, &parameters);
    TRY(io_uring_enter, -1, 0, 0, 0, NULL, 0);
    TRY(io_uring_register, -1, IORING_UNREGISTER_BUFFERS, NULL, 0);
    if (fd == -1)
        return;
    SHOW(parameters.sq_entries);
    TRY(io_uring_enter, fd, 0, 0, 0, NULL, 0);
    TRY(io_uring_enter, fd, 0, 0, 0x80000000, NULL, 0);
    TRY(io_uring_register, fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
    TRY(io_uring_register, fd, 200, NULL, 0);
    // One operation that does nothing, through the rings.
    size_t bytes = parameters.sq_off.array + parameters.sq_entries * 4;
    char *submitted = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    char *completed = mmap(NULL, parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe),
                           PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_CQ_RING);
    struct io_uring_sqe *entries = mmap(NULL, parameters.sq_entries * sizeof *entries, PROT_READ | PROT_WRITE,
                                        MAP_SHARED, fd, IORING_OFF_SQES);
    CHECK(submitted != MAP_FAILED && completed != MAP_FAILED && entries != MAP_FAILED);
    entries[0] = (struct io_uring_sqe){.opcode = IORING_OP_NOP, .user_data = 77};
    *(unsigned *)(submitted + parameters.sq_off.array) = 0;
    __atomic_store_n((unsigned *)(submitted + parameters.sq_off.tail), 1, __ATOMIC_RELEASE);
    TRY(io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    SHOW(((struct io_uring_cqe *)(completed + parameters.cq_off.cqes))->user_data);
}

static void segment(void)
{
    int id = (int)OKAY(shmget(IPC_PRIVATE, PAGE, 0600 | IPC_CREAT));
    TRY(shmat, -1, NULL, 0);
    TRY(shmat, id, WILD, 0);
    char *at = shmat(id, NULL, 0);
    CHECK(at != (char *)-1);
    APART({ at[0] = 'c'; });
    SHOW(at[0]);
    TRY(shmdt, at);
    TRY(shmdt, at);
    OKAY(shmctl(id, IPC_RMID, NULL));
}

static void all_semaphores(void)
{
    TRY(semctl, -1, 0, 13 /* GETALL */, NULL);
}

static void descriptors_of_memory(void)
{
    int fd = (int)TRY(memfd_secret, 0);
    TRY(memfd_secret, 0x100);
    if (fd == -1)
        return;
    OKAY(ftruncate(fd, PAGE));
    char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(at != MAP_FAILED);
    at[0] = 's';
    SEE(write(1000, at, 1));
    SHOW(at[0]);
}

static void faults(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    TRY(userfaultfd, 0x100);
    int fd = (int)TRY(userfaultfd, UFFD_USER_MODE_ONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd == -1)
        return;
    TRY(ioctl, fd, UFFDIO_API, &api);
    char *at = page(MAP_PRIVATE), source[PAGE] __attribute__((aligned(PAGE))) = {'f'};
    struct uffdio_register of = {.range = {(uintptr_t)at, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    TRY(ioctl, fd, UFFDIO_REGISTER, &of);
    struct uffdio_copy copy = {.dst = (uintptr_t)at, .src = (uintptr_t)source, .len = PAGE};
    TRY(ioctl, fd, UFFDIO_COPY, &copy);
    SHOW(at[0]);
    SEE(read(fd, source, 32));
}

static void programs(void)
{
    union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4,
                                 .max_entries = 2};
    int map = (int)TRY(bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
    TRY(bpf, 1000, &attributes, sizeof attributes);
    TRY(bpf, BPF_MAP_CREATE, WILD, 64);
    TRY(bpf, BPF_MAP_CREATE, &attributes, 100000);
    if (map == -1)
        return;
    uint32_t key = 1, value = 7;
    attributes = (union bpf_attr){.map_fd = map, .key = (uintptr_t)&key, .value = (uintptr_t)&value};
    TRY(bpf, BPF_MAP_UPDATE_ELEM, &attributes, sizeof attributes);
    value = 0;
    TRY(bpf, BPF_MAP_LOOKUP_ELEM, &attributes, sizeof attributes);
    SHOW(value);
}

static void events(void)
{
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes,
                                         .config = PERF_COUNT_SW_PAGE_FAULTS, .exclude_kernel = 1};
    TRY(perf_event_open, WILD, 0, -1, -1, 0);
    TRY(perf_event_open, &attributes, 0, -1, -1, 0x1000);
    TRY(perf_event_open, &attributes, NOBODY, -1, -1, 0);
    int fd = (int)TRY(perf_event_open, &attributes, 0, -1, -1, 0);
    attributes.size = 4;
    TRY(perf_event_open, &attributes, 0, -1, -1, 0);
    uint64_t count = 0;
    if (fd == -1)
        return;
    *(volatile char *)page(MAP_PRIVATE) = 1;
    TRY(read, fd, &count, sizeof count);
    SHOW(count > 0);
}

static void ports(void)
{
    TRY(ioperm, 0x80, 1, 0);
    TRY(ioperm, 1 << 20, 1, 0);
    TRY(iopl, 0);
    TRY(iopl, 7);
}

static void descriptor_table(void)
{
    struct user_desc entry = {.entry_number = 1, .base_addr = 0, .limit = 0xfffff, .seg_32bit = 1};
    char table[64] = {0};
    TRY(modify_ldt, 0, table, sizeof table);
    if (TRY(modify_ldt, 1, &entry, sizeof entry) == 0)
        TRY(modify_ldt, 0, table, sizeof table);
    TRY(modify_ldt, 1, &entry, 3);
    TRY(modify_ldt, 1, WILD, sizeof entry);
    TRY(modify_ldt, 9, table, sizeof table);
}

static void numa(void)
{
    unsigned long nodes[16] = {1};
    int policy = 77;
    char *at = page(MAP_PRIVATE);
    at[0] = 1;
    TRY(set_mempolicy, 0, NULL, 0);
    TRY(set_mempolicy, 2, nodes, 64);
    TRY(set_mempolicy, 77, nodes, 64);
    TRY(set_mempolicy, 2, WILD, 64);
    TRY(get_mempolicy, &policy, NULL, 0, NULL, 0);
    SHOW(policy);
    TRY(set_mempolicy, 0, NULL, 0);
    TRY(mbind, at, PAGE, 2, nodes, 64, 0);
    TRY(mbind, at + 1, PAGE, 2, nodes, 64, 0);
    TRY(mbind, at, PAGE, 77, nodes, 64, 0);
    TRY(set_mempolicy_home_node, at, PAGE, 0, 0);
    TRY(set_mempolicy_home_node, at, PAGE, 5000, 0);
    TRY(get_mempolicy, &policy, NULL, 0, at, MPOL_F_ADDR);
    SHOW(policy);
    void *pages[2] = {at, at + PAGE};
    int status[2] = {77, 77}, to[2] = {0, 0};
    TRY(move_pages, 0, 2, pages, NULL, status, 0);
    SHOW(status[0]);
    SHOW(status[1]);
    TRY(move_pages, 0, 1, pages, to, status, 0x100);
    TRY(move_pages, NOBODY, 1, pages, to, status, 0);
    TRY(get_mempolicy, &policy, nodes, 1024, NULL, MPOL_F_MEMS_ALLOWED);
    SHOW(nodes[0]);
    TRY(migrate_pages, 0, 64, nodes, nodes);
    TRY(migrate_pages, NOBODY, 64, nodes, nodes);
    TRY(migrate_pages, 0, 64, WILD, nodes);
}

static void pages_of_files(void)
{
    int fd = (int)OKAY(open("pages", O_RDWR | O_CREAT | O_TRUNC, 0600));
    OKAY(unlink("pages"));
    OKAY(ftruncate(fd, 2 * PAGE));
    OKAY(pwrite(fd, "second", 6, PAGE));
    char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(at != MAP_FAILED);
    TRY(remap_file_pages, at, PAGE, 0, 1, 0);
    SAME_TEXT(at, "second");
    TRY(remap_file_pages, at, PAGE, 1, 1, 0);
    TRY(remap_file_pages, WILD, PAGE, 0, 1, 0);
}

static void namespaces(void)
{
    TRY(unshare, 1);
    TRY(unshare, 0);
    int fd = (int)OKAY(open("/proc/self/ns/uts", O_RDONLY));
    TRY(setns, fd, 0x04000000 /* CLONE_NEWUTS */);
    TRY(setns, fd, 0x40000000 /* CLONE_NEWNET */);
    TRY(setns, -1, 0);
    TRY(setns, 0, 0);
}

static void traced(void)
{
    TRY(ptrace, 77, NOBODY, 0, 0);
    TRY(ptrace, 16 /* PTRACE_ATTACH */, NOBODY, 0, 0);
    TRY(ptrace, 1, getpid(), 0, 0);
}

static void filters(void)
{
    TRY(seccomp, 77, 0, NULL);
    TRY(seccomp, 1, 0x100, NULL);
    TRY(seccomp, 1, 0, WILD);
    TRY(seccomp, 2, 0, (&(uint32_t){0x7fff0000 /* SECCOMP_RET_ALLOW */}));
}

static void kexec(void)
{
    TRY(kexec_load, 0, 0, NULL, 0x80000000);
    TRY(kexec_load, 0, 100000, NULL, 0);
}

static void of_the_layout(void)
{
    TRY(prctl, PR_SET_MM, 77, 0, 0, 0);
    TRY(prctl, PR_SET_SYSCALL_USER_DISPATCH, 77, 0, 0, 0);
    TRY(prctl, PR_SCHED_CORE, 77, 0, 0, 0);
    TRY(prctl, PR_SET_SECCOMP, 77, 0, 0, 0);
}

static void names_of_systems(void)
{
    char name[64] = {0};
    TRY(sysfs, 2, 0, name);
    TRY(sysfs, 2, 100000, name);
    TRY(sysfs, 2, 0, WILD);
}

int main(int argc, char **argv)
{
    static const struct alone all[] = {
        {"aio", aio},
        {"rings", rings},
        {"segment", segment},
        {"all_semaphores", all_semaphores},
        {"descriptors_of_memory", descriptors_of_memory},
        {"faults", faults},
        {"programs", programs},
        {"events", events},
        {"ports", ports},
        {"descriptor_table", descriptor_table},
        {"numa", numa},
        {"pages_of_files", pages_of_files},
        {"namespaces", namespaces},
        {"traced", traced},
        {"filters", filters},
        {"kexec", kexec},
        {"of_the_layout", of_the_layout},
        {"names_of_systems", names_of_systems},
        {NULL, NULL},
    };
    each_alone(argc, argv, all);
    return ok("rows_at_home");
}
