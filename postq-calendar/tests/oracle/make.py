#!/usr/bin/env python3
"""Writes cases.tsv: what croniter and python-dateutil say about random rules.

    python3 -m venv venv && venv/bin/pip install croniter==7.0.0 python-dateutil==4.0.0 tzdata==2026.5
    venv/bin/python make.py > cases.tsv

Both libraries are asked on a line of wall-clock times without a zone, where they have no opinion about
clock changes. What a wall-clock time means is decided here, by zoneinfo and the standards:

- Cron, fixed: in a gap the first instant after it, in an overlap the first pass; each instant once.
- Cron, a star in the seconds, minutes or hours: every instant at which the clocks show a match, found by
  trying each offset that the zone has around it.
- RRULE: RFC 5545, 3.3.5, which is what zoneinfo's fold=0 does; sorted, each instant once.

croniter differs from cron(8) in which expressions join the two day fields with "or": it is told. What takes
a library more than two seconds is left out, so that another machine may leave out others.

A line: kind, zone, after (seconds of the epoch), expression (\\n for a line's end), answers (the first in
seconds of the epoch, the others as distances). tzdata is the version that the crate has built in.
"""

import random
import signal
import sys
import zoneinfo
from datetime import datetime, timedelta, timezone

from croniter import CroniterBadDateError, croniter
from dateutil.rrule import rrulestr

zoneinfo.reset_tzpath(to=[])

UTC = timezone.utc
ZONES = [
    "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "Antarctica/Troll",
    "Atlantic/Azores", "Asia/Beirut", "America/Havana", "UTC", "Europe/London", "America/St_Johns",
    "Pacific/Chatham", "America/Santiago", "Africa/Casablanca", "Asia/Kolkata", "Europe/Dublin",
    "America/Vancouver", "Asia/Gaza",
]
DAYS = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"]
ANSWERS = 6
EACH = 2_900


def changes(name):
    """The instants from 2024 to 2031 at which a zone's clocks are set, to the second."""
    zone = zoneinfo.ZoneInfo(name)
    offset = lambda t: datetime.fromtimestamp(t, zone).utcoffset()
    found = []
    start, end = 1_704_067_200, 1_924_992_000
    for t in range(start, end, 21_600):
        low, high = t, t + 21_600
        if offset(low) == offset(high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
        found.append(high)
    return found


CHANGES = {name: changes(name) for name in ZONES}


class Slow(Exception):
    pass


def slow(*_):
    raise Slow


def instants(wall, zone):
    """Every instant at which the clocks show this."""
    offsets = {(wall + timedelta(hours=h)).replace(tzinfo=zone).utcoffset() for h in range(-27, 28, 3)}
    offsets |= {wall.replace(tzinfo=zone, fold=f).utcoffset() for f in (0, 1)}
    at = {(wall - offset).replace(tzinfo=UTC) for offset in offsets}
    return sorted(t for t in at if t.astimezone(zone).replace(tzinfo=None) == wall)


def after_gap(wall, zone):
    """The first instant after the gap that this lies in."""
    low = (wall - wall.replace(tzinfo=zone, fold=1).utcoffset()).replace(tzinfo=UTC)
    high = (wall - wall.replace(tzinfo=zone, fold=0).utcoffset()).replace(tzinfo=UTC)
    low, high = int(low.timestamp()), int(high.timestamp())
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        same = datetime.fromtimestamp(middle, zone).utcoffset() == before
        low, high = (middle, high) if same else (low, middle)
    return datetime.fromtimestamp(high, UTC)


def cron(expr, name, after):
    zone = zoneinfo.ZoneInfo(name)
    fields = expr.split()
    days = 2 if len(fields) == 5 else 3
    either = not any(fields[day][0] in "*?" for day in (days, days + 2))
    wild = any(field[0] == "*" for field in fields[:days])
    start = datetime.fromtimestamp(after, zone).replace(tzinfo=None) - timedelta(hours=4)
    walls = croniter(
        expr.replace("?", "*"), start, ret_type=datetime, day_or=either, second_at_beginning=True,
        max_years_between_matches=45,
    )
    found, bound = set(), None
    try:
        while True:
            wall = walls.get_next()
            if bound and wall > bound:
                break
            at = instants(wall, zone)
            if not wild:
                at = at[:1] or [after_gap(wall, zone)]
            found.update(t for t in at if t.timestamp() > after)
            if bound is None and len(found) >= ANSWERS:
                bound = wall + timedelta(hours=4)
    except CroniterBadDateError:
        pass
    return sorted(found)[:ANSWERS]


def rrule(expr, name, after):
    zone = zoneinfo.ZoneInfo(name)
    instant = lambda wall: wall.replace(tzinfo=zone).astimezone(UTC)
    read = lambda text: datetime.strptime(text.rstrip("Z"), "%Y%m%dT%H%M%S")
    meant = lambda text: read(text).replace(tzinfo=UTC) if text.endswith("Z") else instant(read(text))
    lines = dict(line.split(":", 1) for line in expr.split("\n"))
    parts = dict(part.split("=") for part in lines["RRULE"].split(";"))
    until = parts.pop("UNTIL", None)
    start = next(value for key, value in lines.items() if key.startswith("DTSTART"))
    text = ";".join(f"{key}={value}" for key, value in parts.items())
    walls = rrulestr(text, dtstart=read(start))
    dates = lambda key: {meant(text) for k, v in lines.items() if k.startswith(key) for text in v.split(",")}
    found, bound = {t for t in dates("RDATE") if t.timestamp() > after}, None
    excluded = dates("EXDATE")
    for wall in walls:
        if bound and wall > bound:
            break
        at = instant(wall)
        if until and not until.endswith("Z") and wall > read(until):
            break
        if until and until.endswith("Z") and at > meant(until):
            if at > meant(until) + timedelta(hours=30):
                break
            continue
        if at.timestamp() > after:
            found.add(at)
        if bound is None and len(found - excluded) >= ANSWERS:
            bound = max(wall, max(found).replace(tzinfo=None)) + timedelta(hours=30)
    return sorted(found - excluded)[:ANSWERS]


def moment(rng, name):
    """An instant; half of them near a clock change."""
    if CHANGES[name] and rng.random() < 0.62:
        return rng.choice(CHANGES[name]) + rng.choice([-90_000, -14_400, -3_600, -1, 0, 1, 1_800, 3_600]) + rng.randrange(-7_200, 7_200)
    return rng.randrange(1_735_689_600, 1_893_456_000)


def hours(rng, name, after):
    """Hours of the day, most near a change."""
    near = [t for t in CHANGES[name] if abs(t - after) < 200_000]
    if near and rng.random() < 0.8:
        zone = zoneinfo.ZoneInfo(name)
        hour = datetime.fromtimestamp(rng.choice(near) - 1, zone).hour
        return (hour + rng.choice([-1, 0, 0, 0, 1, 1, 1, 2])) % 24
    return rng.randrange(24)


def random_cron(rng, name, after):
    minute = lambda: rng.choice(["0", "30", str(rng.randrange(60)), "*/15", "*", "*/7", "15,45", "10-50/20", "40/7", "5,10-12"])
    fixed = lambda: rng.choice(["0", "30", str(rng.randrange(60)), "15,45", "10-50/20", "40/7"])
    at = hours(rng, name, after)
    hour = rng.choice([str(at)] * 4 + [f"{at},{(at + 9) % 24}", "*", "*/2", "*/5", f"{min(at, 20)}-{min(at, 20) + 3}", f"{min(at, 12)}/3", "0-23"])
    month_day = rng.choice(["*"] * 6 + [str(rng.randrange(1, 32)), "1,15", "13", "*/2", "1-7", "10-20/3", "29", "31", "?", "1-31", "25/2"])
    month = rng.choice(["*"] * 8 + [str(rng.randrange(1, 13)), "jan-mar,DEC", "*/3", "2", "3,4,10,11", "Oct"])
    week_day = rng.choice(["*"] * 6 + ["0", "7", "5", "1-5", "5-7", "SAT-SUN", "mon,wed,Fri", "*/2", "?", "sun", "1/3", "0-6", "6,0"])
    if month_day == "?" and week_day == "?":
        week_day = "*"
    expr = f"{minute() if rng.random() < 0.5 else fixed()} {hour} {month_day} {month} {week_day}"
    kind = rng.random()
    if kind < 0.15:
        expr = f"{rng.choice(['0', '30', '*/20', '15,45', '*'])} {expr}"
        if kind < 0.05:
            expr += f" {rng.choice(['2026-2028', '2027', '2026/2', '*/2', '*'])}"
    return expr


def some(rng, values, most=3):
    return ",".join(str(v) for v in sorted(rng.sample(values, rng.randrange(1, most + 1))))


def random_rrule(rng, name, after):
    zone = zoneinfo.ZoneInfo(name)
    freq = rng.choice(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "DAILY", "HOURLY", "HOURLY", "MINUTELY", "SECONDLY"])
    back = {
        "YEARLY": 4_000, "MONTHLY": 2_500, "WEEKLY": 2_500, "DAILY": 2_000, "HOURLY": 150, "MINUTELY": 20, "SECONDLY": 1,
    }[freq]
    local = datetime.fromtimestamp(after, zone).replace(tzinfo=None)
    start = local - timedelta(days=rng.random() * back - back / 20)
    start = start.replace(microsecond=0, second=rng.choice([0, 0, 0, start.second]))
    if freq in ("YEARLY", "MONTHLY", "WEEKLY", "DAILY"):
        start = start.replace(hour=hours(rng, name, after), minute=rng.choice([0, 15, 30, start.minute]))
    parts = [f"FREQ={freq}"]
    if rng.random() < 0.5:
        parts.append(f"INTERVAL={rng.choice([2, 2, 3, 4, 5, 7, 10, 15, 30, 45, 90])}")
    pick = lambda chance: rng.random() < chance
    sub = freq in ("HOURLY", "MINUTELY", "SECONDLY")
    if pick(0.25):
        parts.append("BYMONTH=" + some(rng, list(range(1, 13)), 5))
    weeks = freq == "YEARLY" and pick(0.15)
    if weeks:
        parts.append("BYWEEKNO=" + some(rng, [1, 2, 20, 44, 52, 53, -1, -5]))
    if freq != "WEEKLY" and not weeks and pick(0.2):
        parts.append("BYMONTHDAY=" + some(rng, [1, 2, 8, 13, 25, 28, 29, 30, 31, -1, -2, -7]))
    elif (freq == "YEARLY" or sub) and not weeks and pick(0.15):
        parts.append("BYYEARDAY=" + some(rng, [1, 60, 61, 100, 200, 300, 365, 366, -1, -60, -66]))
    if pick(0.4):
        if freq in ("MONTHLY", "YEARLY") and not weeks and pick(0.6):
            parts.append("BYDAY=" + ",".join({f"{rng.choice([1, 2, 3, 4, -1, -2, 5])}{rng.choice(DAYS)}" for _ in range(rng.randrange(1, 4))}))
        else:
            parts.append("BYDAY=" + ",".join(rng.sample(DAYS, rng.randrange(1, 5))))
    if pick(0.3):
        parts.append("BYHOUR=" + ",".join(str(h) for h in sorted({hours(rng, name, after) for _ in range(rng.randrange(1, 4))})))
    if pick(0.3):
        parts.append("BYMINUTE=" + some(rng, list(range(0, 60, 5)) + [59]))
    if pick(0.12):
        parts.append("BYSECOND=" + some(rng, [0, 1, 15, 30, 59]))
    if not sub and any(p.startswith("BY") for p in parts) and pick(0.2):
        parts.append("BYSETPOS=" + some(rng, [1, 2, 3, -1, -2]))
    if pick(0.15):
        parts.append(f"WKST={rng.choice(DAYS)}")
    form = "%Y%m%dT%H%M%S"
    if pick(0.2):
        parts.append(f"COUNT={rng.choice([1, 3, 10, 50, 400])}")
    elif pick(0.2):
        end = local + timedelta(hours=rng.choice([1, 3, 24, 100, 2_000]), minutes=rng.choice([0, 30]))
        parts.append("UNTIL=" + end.strftime(form) + rng.choice(["Z", ""]))
    zulu = name == "UTC" and pick(0.5)
    head = f"DTSTART:{start.strftime(form)}Z" if zulu else f"DTSTART;TZID={name}:{start.strftime(form)}"
    lines = [head, "RRULE:" + ";".join(parts)]
    dates = lambda: ",".join((local + timedelta(hours=rng.randrange(-5, 60), minutes=-local.minute)).replace(second=0, microsecond=0).strftime(form) for _ in range(2))
    if pick(0.1):
        lines.append("RDATE:" + dates() if zulu else f"RDATE;TZID={name}:" + dates())
    return "\n".join(lines)


def main():
    rng = random.Random(20_261_122)
    signal.signal(signal.SIGALRM, slow)
    skipped = 0
    for kind, make, ask in [("cron", random_cron, cron), ("rrule", random_rrule, rrule)]:
        seen, number = set(), 0
        while number < EACH:
            name = ZONES[number % len(ZONES)]
            after = moment(rng, name)
            expr = make(rng, name, after)
            if (expr, name) in seen:
                continue
            seen.add((expr, name))
            signal.setitimer(signal.ITIMER_REAL, 2)
            try:
                answers = [int(t.timestamp()) for t in ask(expr, name, after)]
                if kind == "rrule" and answers and rng.random() < 0.15:
                    # Leave out one that would be.
                    out = datetime.fromtimestamp(rng.choice(answers), UTC).strftime("%Y%m%dT%H%M%SZ")
                    expr += f"\nEXDATE:{out}"
                    answers = [int(t.timestamp()) for t in ask(expr, name, after)]
            except Slow:
                skipped += 1
                continue
            except ValueError as error:
                # dateutil: an interval that can never meet its limits.
                if "Invalid combination of interval" not in str(error) and "Invalid rrule" not in str(error):
                    raise
                skipped += 1
                continue
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            number += 1
            steps = answers[:1] + [b - a for a, b in zip(answers, answers[1:])]
            shown = expr.replace("\n", "\\n")
            print(kind, name, after, shown, ",".join(map(str, steps)), sep="\t")
    print(f"skipped {skipped}", file=sys.stderr)


if __name__ == "__main__":
    main()
