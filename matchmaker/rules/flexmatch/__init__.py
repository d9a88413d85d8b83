"""Rule sets in FlexMatch's JSON: read, checked, compiled to arrays, and matched in one call a cycle.

In the order in which a rule set lives: ``document`` collects mistakes with their JSON pointers,
``expressions`` reads property expressions, ``rule_set`` is what was read, ``reading`` reads it,
``ticket_file`` reads tickets, ``program`` turns the rules and ``table`` the tickets into arrays, ``evaluate``
says whether a candidate match holds the rules, ``search`` forms matches, ``matching`` is the pure function
around it, and ``trial`` is what ``launchday match`` prints.
"""
