"""What keeps a part that fails from taking the others with it: deadlines, retry budgets, the one HTTP client,
socket options.
"""
