"""Rule sets in FlexMatch's JSON: read, checked, compiled to arrays, and matched in one call a cycle.

In the order in which a rule set lives: ``json_text`` reads JSON, ``document`` collects mistakes with their
pointers, ``expressions`` reads property expressions, ``rule_set`` is what was read, ``reading`` reads it;
``ticket_documents`` finds tickets in what FlexMatch's calls answer, ``ticket_file`` reads them; ``program``
turns the rules and ``table`` the tickets into arrays, ``ticket_table`` is a table that grows; ``evaluate``
says whether a candidate match holds the rules, by the one ``tolerance`` there is, ``search`` forms matches,
``cycle`` is the pure function around it, and ``trial`` is what ``launchday match`` prints.
"""
