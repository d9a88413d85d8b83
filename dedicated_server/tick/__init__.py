"""The tick: its timetable, its compiled stages, its pace and its measurements."""
