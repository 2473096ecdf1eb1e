//! Which columns say who a row is about, told by their names.

/// Words that make a column an identifying one.
const WORDS: &[&str] = &[
    "address",
    "birth",
    "birthdate",
    "birthday",
    "city",
    "dob",
    "doctor",
    "email",
    "firstname",
    "forename",
    "fullname",
    "id",
    "identifier",
    "idnumber",
    "initials",
    "insurance",
    "lastname",
    "mail",
    "mobile",
    "mrn",
    "name",
    "nhs",
    "passport",
    "patient",
    "patientid",
    "person",
    "phone",
    "physician",
    "postcode",
    "record",
    "ssn",
    "street",
    "subject",
    "surname",
    "telephone",
    "zip",
];

/// Whether a column of this name identifies people. The name is taken apart at everything that is not a
/// letter or a digit, and where a capital follows a small letter; one identifying word is enough, digits at
/// its end aside. So `id`, `Patient-ID`,
/// `patientId` and `date of birth` identify, `radius` and `symmetry_worst` do not. A measurement that is
/// named like an identity (`patient_age`) is dropped with them: that errs on the safe side.
#[must_use]
pub fn is_identifying(column: &str) -> bool {
    let mut word = String::new();
    let mut after_small = false;
    for letter in column.chars() {
        let begins_word = letter.is_uppercase() && after_small;
        if begins_word || !letter.is_alphanumeric() {
            if is_listed(&word) {
                return true;
            }
            word.clear();
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        after_small = letter.is_lowercase();
    }
    is_listed(&word)
}

fn is_listed(word: &str) -> bool {
    WORDS.contains(&word.trim_end_matches(|letter: char| letter.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_identity_are_recognised_however_they_are_written() {
        for name in [
            "id",
            "ID",
            "Patient-ID",
            "patientId",
            "PATIENT_ID",
            "last name",
            "date of birth",
            "eMail",
            "E_MAIL",
            "name2",
            "IDnumber",
        ] {
            assert!(is_identifying(name), "{name}");
        }
    }

    #[test]
    fn measurements_are_kept() {
        for name in [
            "radius",
            "symmetry_worst",
            "fractal dimension",
            "width",
            "Identity2d",
            "",
            "µ_mean",
        ] {
            assert!(!is_identifying(name), "{name}");
        }
    }
}
