/* Preloaded into Debian's user-mode-linux (6.1).
 *
 * 1. On CPUs whose XSAVE area is larger than the kernel's own buffer (AMX), the host refuses
 *    PTRACE_SETREGSET(NT_X86_XSTATE) with EFAULT, and the kernel panics at its first process. Here the
 *    kernel's part is merged into the whole area first.
 * 2. QOS_RIG_SLOWDOWN=K makes the guest's clock run K times slower than the host's, so that the guest
 *    has K times the computing power per guest second (Gupta et al., "To Infinity and Beyond:
 *    Time-Warped Network Emulation", NSDI 2006, section 3). Both its clock and its timers are scaled.
 *
 * 3. When the guest makes the folder virtual-clock on the host, it gets a clock that stands still while it computes, but for STEP_NS at
 *    each look at it, and that jumps to its next timer when it has nothing to do: what UML's own
 *    "time-travel=inf-cpu" does (Documentation/virt/uml; Debian's kernel is built without it). How fast
 *    the host is and what else it does then changes nothing that the guest can measure.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NT_XSTATE 0x202
#define GETREGSET 0x4204
#define SETREGSET 0x4205
#define NANO 1000000000LL

static char whole_area[65536] __attribute__((aligned(64)));

static long host_ptrace(long request, long pid, void *addr, void *data)
{
	long value = 0;

	if (request >= 1 && request <= 3) { /* PEEK*: glibc returns the word itself */
		long done = syscall(SYS_ptrace, request, pid, addr, &value);
		return done < 0 ? done : value;
	}
	return syscall(SYS_ptrace, request, pid, addr, data);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list rest;

	va_start(rest, request);
	int pid = va_arg(rest, int);
	void *addr = va_arg(rest, void *);
	void *data = va_arg(rest, void *);
	va_end(rest);
	long done = host_ptrace(request, pid, addr, data);
	if (done == 0 || errno != EFAULT || (int)request != SETREGSET || (long)addr != NT_XSTATE)
		return done;

	struct iovec *part = data, area = { whole_area, sizeof whole_area };
	if (host_ptrace(GETREGSET, pid, addr, &area))
		return -1;
	memcpy(whole_area, part->iov_base, part->iov_len < area.iov_len ? part->iov_len : area.iov_len);
	return host_ptrace(SETREGSET, pid, addr, &area);
}

#define STEP_NS 50

static long long slowdown = 1, start_ns = -1;
static volatile long long virtual_ns = 0, due_ns = 0, period_ns = 0; /* virtual_ns 0: the host's clock */
static timer_t timer;

static long long to_ns(const struct timespec *time) { return time->tv_sec * NANO + time->tv_nsec; }

static struct timespec from_ns(long long ns)
{
	struct timespec time = { ns / NANO, ns % NANO };
	return time;
}

__attribute__((constructor)) static void read_slowdown(void)
{
	const char *text = getenv("QOS_RIG_SLOWDOWN");
	struct timespec now;

	if (text && atoll(text) > 1)
		slowdown = atoll(text);
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	start_ns = to_ns(&now);
}

/* From now on the clock is ours; a timer that runs is taken over. */
static void take_the_clock(void)
{
	static int (*get)(timer_t, struct itimerspec *);
	static int (*set)(timer_t, int, const struct itimerspec *, struct itimerspec *);
	struct itimerspec left, none = { { 0, 0 }, { 0, 0 } };
	struct timespec now;

	get = dlsym(RTLD_NEXT, "timer_gettime");
	set = dlsym(RTLD_NEXT, "timer_settime");
	get(timer, &left);
	set(timer, 0, &none, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	virtual_ns = to_ns(&now);
	period_ns = to_ns(&left.it_interval);
	due_ns = virtual_ns + to_ns(&left.it_value) + 1;
}

/* The guest says that it has booted by making a folder of this name on the host: the kernel's own
 * start-up waits for ticks without looking at the clock, so the clock must run until then. */
int mkdir(const char *path, mode_t mode)
{
	const char *name = strrchr(path, '/');

	if (name && strcmp(name, "/virtual-clock") == 0 && !virtual_ns)
		take_the_clock();
	return syscall(SYS_mkdir, path, mode);
}

/* The timer has run out: set it again, or not, and send its signal to this thread. */
static void ring(void)
{
	due_ns = period_ns ? due_ns + period_ns : 0;
	syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGALRM);
}

int sigsuspend(const sigset_t *mask)
{
	static int (*next)(const sigset_t *);

	if (!next)
		next = dlsym(RTLD_NEXT, "sigsuspend");
	if (virtual_ns && due_ns) {
		if (virtual_ns < due_ns)
			virtual_ns = due_ns;
		ring();
	}
	return next(mask);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int done = syscall(SYS_clock_gettime, clock, time);

	if (done == 0 && clock == CLOCK_MONOTONIC && virtual_ns) {
		virtual_ns += STEP_NS;
		*time = from_ns(virtual_ns);
		if (due_ns && virtual_ns >= due_ns)
			ring();
		return 0;
	}
	if (done == 0 && clock == CLOCK_MONOTONIC && slowdown > 1)
		*time = from_ns(start_ns + (to_ns(time) - start_ns) / slowdown);
	return done;
}

int timer_settime(timer_t which, int flags, const struct itimerspec *wanted, struct itimerspec *before)
{
	static int (*next)(timer_t, int, const struct itimerspec *, struct itimerspec *);
	struct itimerspec scaled = *wanted;

	if (virtual_ns) {
		long long value = to_ns(&wanted->it_value);

		period_ns = to_ns(&wanted->it_interval);
		due_ns = value ? virtual_ns + value : 0;
		return 0;
	}
	if (!next)
		next = dlsym(RTLD_NEXT, "timer_settime");
	scaled.it_value = from_ns(to_ns(&wanted->it_value) * slowdown);
	scaled.it_interval = from_ns(to_ns(&wanted->it_interval) * slowdown);
	timer = which;
	return next(which, flags, &scaled, before);
}

int timer_gettime(timer_t which, struct itimerspec *left)
{
	static int (*next)(timer_t, struct itimerspec *);

	if (virtual_ns) {
		long long value = due_ns - virtual_ns;

		left->it_value = from_ns(due_ns ? (value > 0 ? value : 1) : 0);
		left->it_interval = from_ns(period_ns);
		return 0;
	}
	if (!next)
		next = dlsym(RTLD_NEXT, "timer_gettime");
	int done = next(which, left);
	if (done == 0) {
		left->it_value = from_ns(to_ns(&left->it_value) / slowdown);
		left->it_interval = from_ns(to_ns(&left->it_interval) / slowdown);
	}
	return done;
}
