"""What people read: statistics, tables, figures and the page."""
