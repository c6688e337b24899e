"""What a person gets to see of a result: pictures, and one offline HTML file."""
