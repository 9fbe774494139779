# calendar/
