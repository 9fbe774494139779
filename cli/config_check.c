/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * config check: is this configuration right? The daemon itself answers, so that there is one reader
 * of configurations and what is checked is what will run.
 */
#include "cli/cli.h"

#include "base/bytes.h"
#include "cli/json.h"
#include "cli/options.h"
#include "base/text.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAID_MAX 8192 /* of the daemon's words */

/* What the unit that is installed with this program names. */
#define INSTALLED SYSCONFDIR "/forecached/forecached.conf"

/*
 * Runs forecached: the one on $PATH, else where it is installed. Does not return. Only one that is
 * not there is passed by; what else is wrong with it is for the user to see.
 */
static _Noreturn void become_daemon(char *const argv[])
{
	execvp("forecached", argv);
	if (errno == ENOENT)
		execv(SBINDIR "/forecached", argv);
	fprintf(stderr, "forecached: %s (looked for on $PATH and in %s)\n", strerror(errno),
	        SBINDIR);
	_exit(127);
}

/* Runs it with stderr into a pipe, and reads that. Its wait status, or -1 with errno. */
static int run(char *const argv[], char *said, size_t cap)
{
	size_t n = 0;
	ssize_t got;
	int fd[2], status;
	pid_t pid;

	if (pipe(fd))
		return -1;
	pid = fork();
	if (pid == 0) {
		dup2(fd[1], STDERR_FILENO);
		dup2(fd[1], STDOUT_FILENO); /* its talk is not our data */
		close(fd[0]);
		close(fd[1]);
		become_daemon(argv);
	}
	close(fd[1]);
	while (pid > 0 &&
	       ((got = read(fd[0], said + n, cap - 1 - n)) > 0 || (got < 0 && errno == EINTR)))
		n += got > 0 ? (size_t)got : 0;
	close(fd[0]); /* what says more than we can hold is told so by SIGPIPE */
	said[n] = '\0';
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return pid > 0 ? status : -1;
}

static int check(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "[FILE]",
	        .brief = "Says whether a configuration is right; if not, which key is wrong, its "
	                 "limits and its unit.",
	        .examples =
	                "forecache config check\n"
	                "forecache config check ./forecached.conf && systemctl reload forecached\n",
	        .details = "Without FILE: the one that the installed daemon reads, " INSTALLED
	                   "; if there is none, the defaults. Runs `forecached "
	                   "--check-config`, which reads zone files and calendars too. Nothing is "
	                   "changed, and no daemon need run.",
	        .max_args = 1,
	};
	char *args[] = {(char *)"forecached", (char *)"--check-config", NULL, NULL, NULL};
	const char *file;
	char said[SAID_MAX], *shown;
	int status = options_parse(&usage, NULL, 0, &argc, &argv);
	cJSON *o;
	bool ok;

	if (status >= 0)
		return status;
	/* one that is there and cannot be read is for the daemon's program to complain of */
	file = argc ? argv[0] : access(INSTALLED, F_OK) == 0 || errno != ENOENT ? INSTALLED : NULL;
	if (file) {
		args[2] = (char *)"--config";
		args[3] = (char *)file;
	}
	if (!argc && !cli.json && file)
		cli_say("checking %s", file);
	else if (!argc && !cli.json)
		cli_say("there is no %s: checking the defaults", INSTALLED);
	status = run(args, said, sizeof(said));
	if (status < 0)
		return cli_error("forecached: %s", strerror(errno));
	if (*said && said[strlen(said) - 1] == '\n')
		said[strlen(said) - 1] = '\0';
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return cli_error("config check needs the daemon's program; %s", said);
	ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (cli.json) {
		o = cJSON_CreateObject();
		shown = text_json(bytes_str(said));
		cJSON_AddBoolToObject(o, "ok", ok);
		cJSON_AddStringToObject(o, "said", shown);
		free(shown);
		shown = file ? text_json(bytes_str(file)) : NULL;
		cJSON_AddItemToObject(o, "file",
		                      shown ? cJSON_CreateString(shown) : cJSON_CreateNull());
		free(shown);
		json_print(o);
	} else if (*said) {
		fprintf(stderr, "%s\n", said);
	} else {
		cli_say("configuration %s", ok ? "OK" : "is not right");
	}
	return ok ? CLI_OK : CLI_ERROR;
}

int cmd_config(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "check",
	        .brief = "The daemon's configuration.",
	        .examples = "forecache config check\n"
	                    "forecache config check ./forecached.conf\n",
	        .min_args = 1,
	        .max_args = -1,
	};
	static const struct subcommand subs[] = {{"check", check}};

	return options_subcommand(&usage, subs, 1, argc, argv);
}
