"""What teachers say of documents, for students to learn from."""
