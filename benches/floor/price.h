/* What a larger program costs per client or request: the leanest servers with one thing more, chosen by -D.
 *
 * DIRTY_PAGES  pages of memory that the program has written to before it forks
 * MAPPINGS     mappings that it has
 * CHILD_FAULTS pages of files in 64 KiB of their own that a child reads, as the code that it runs
 * READ_PAGES   pages that a request reads
 * READ_LINES   cache lines in 16 pages that a request reads
 * OWN_LINES    cache lines of memory of its own, as its stack, that a thread writes for a request
 * CLOCK_READS  how often a request reads the clock */
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096, LINE = 64, AROUND = 65536 };

#ifndef DIRTY_PAGES
#define DIRTY_PAGES 0
#endif
#ifndef MAPPINGS
#define MAPPINGS 0
#endif
#ifndef CHILD_FAULTS
#define CHILD_FAULTS 0
#endif
#ifndef READ_PAGES
#define READ_PAGES 0
#endif
#ifndef READ_LINES
#define READ_LINES 0
#endif
#ifndef OWN_LINES
#define OWN_LINES 0
#endif
#ifndef CLOCK_READS
#define CLOCK_READS 0
#endif

static volatile char sink;
static char *file_pages, *read_pages;
static _Thread_local volatile char own[OWN_LINES * LINE + 1];

static char *map(size_t bytes, int protection, int flags, int fd)
{
    char *at = bytes ? mmap(NULL, bytes, protection, flags | MAP_PRIVATE, fd, 0) : NULL;
    if (at == MAP_FAILED)
        fail("mmap");
    if (at != NULL)
        madvise(at, bytes, MADV_NOHUGEPAGE);
    return at;
}

static void grow(void)
{
    size_t file_bytes = (size_t)CHILD_FAULTS * AROUND;
    char *dirty = map((size_t)DIRTY_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
    if (dirty != NULL)
        memset(dirty, 1, (size_t)DIRTY_PAGES * PAGE);
    size_t read_bytes = (READ_PAGES > 0 || READ_LINES > 0) ? 256 * PAGE : 0;
    read_pages = map(read_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
    if (read_pages != NULL)
        memset(read_pages, 1, read_bytes);
    /* Neighbours of one kind would be one mapping. */
    for (int more = 0; more < MAPPINGS; more++)
        map(PAGE, more % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
    if (file_bytes > 0) {
        int fd = memfd_create("price", 0);
        if (fd < 0 || ftruncate(fd, (off_t)file_bytes) < 0)
            fail("memfd_create");
        file_pages = map(file_bytes, PROT_READ, 0, fd);
        for (size_t at = 0; at < file_bytes; at += PAGE)
            sink = file_pages[at];
        close(fd);
    }
}

__attribute__((unused)) static void child_price(void)
{
    for (int fault = 0; fault < CHILD_FAULTS; fault++)
        sink = file_pages[(size_t)fault * AROUND];
}

static void request_price(void)
{
    struct timespec now;
    for (int page = 0; page < READ_PAGES; page++)
        sink = read_pages[page * PAGE + page % (PAGE / LINE) * LINE];
    for (int line = 0; line < READ_LINES; line++)
        sink = read_pages[line % 16 * PAGE + line / 16 * LINE];
    for (int line = 0; line < OWN_LINES; line++)
        own[line * LINE]++;
    for (int more = 0; more < CLOCK_READS; more++)
        clock_gettime(CLOCK_MONOTONIC, &now);
}
