"""What `heliograph mcp` serves: read access to one project for an assistant, by the Model Context Protocol."""
