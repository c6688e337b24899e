"""The picture of a result: one offline HTML file."""
