#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Prints the source of shipped.c: the bytes of each FILE.ics named.
set -eu
echo '/* Made by calendar/shipped.sh from models/calendars/: edit those. */'
echo '#include "calendar/shipped.h"'
for file; do
	printf '\nstatic const char %s[] = {\n' "$(basename "$file" .ics)"
	od -An -v -tu1 "$file" | sed 's/ *\([0-9][0-9]*\)/\1,/g'
	echo '};'
done
printf '\nconst struct shipped_calendar shipped_calendars[] = {\n'
for file; do
	code=$(basename "$file" .ics)
	printf '\t{"%s", %s, sizeof(%s)},\n' "$code" "$code" "$code"
done
printf '\t{0},\n};\n'
