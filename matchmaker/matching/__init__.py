"""The matching: pure functions of tickets, rules and a time, most of them compiled."""
