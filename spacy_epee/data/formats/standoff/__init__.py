"""Lines and files that brat and the BioNLP shared tasks have in common (https://brat.nlplab.org/standoff.html)."""
