"""Who is told what, and whose view of the past counts: interest, rates and priorities, lag compensation, overload."""
