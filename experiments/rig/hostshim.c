/* Preloaded into Debian's user-mode-linux (6.1).
 *
 * 1. On CPUs whose XSAVE area is larger than the kernel's own buffer (AMX), the host refuses
 *    PTRACE_SETREGSET(NT_X86_XSTATE) with EFAULT, and the kernel panics at its first process. Here the
 *    kernel's part is merged into the whole area first.
 * 2. QOS_RIG_SLOWDOWN=K makes the guest's clock run K times slower than the host's, so that the guest
 *    has K times the computing power per guest second (Gupta et al., "To Infinity and Beyond:
 *    Time-Warped Network Emulation", NSDI 2006, section 3). Both its clock and its timers are scaled.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
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

static long long slowdown = 1, start_ns = -1;

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

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int done = syscall(SYS_clock_gettime, clock, time);

	if (done == 0 && clock == CLOCK_MONOTONIC && slowdown > 1)
		*time = from_ns(start_ns + (to_ns(time) - start_ns) / slowdown);
	return done;
}

int timer_settime(timer_t timer, int flags, const struct itimerspec *wanted, struct itimerspec *before)
{
	static int (*next)(timer_t, int, const struct itimerspec *, struct itimerspec *);
	struct itimerspec scaled = *wanted;

	if (!next)
		next = dlsym(RTLD_NEXT, "timer_settime");
	scaled.it_value = from_ns(to_ns(&wanted->it_value) * slowdown);
	scaled.it_interval = from_ns(to_ns(&wanted->it_interval) * slowdown);
	return next(timer, flags, &scaled, before);
}

int timer_gettime(timer_t timer, struct itimerspec *left)
{
	static int (*next)(timer_t, struct itimerspec *);

	if (!next)
		next = dlsym(RTLD_NEXT, "timer_gettime");
	int done = next(timer, left);
	if (done == 0) {
		left->it_value = from_ns(to_ns(&left->it_value) / slowdown);
		left->it_interval = from_ns(to_ns(&left->it_interval) / slowdown);
	}
	return done;
}
