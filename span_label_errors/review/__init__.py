"""Write files for a review (page, Label Studio, doccano, spreadsheet), and put the decisions into the data."""
