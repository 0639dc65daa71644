//! The map of the demo region: an island in the Atlantic that is on no other map, its towns, and
//! the hospitals, doctors and pharmacies in them.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde_json::json;

use super::tables::{attributes, slug};
use recommend::{Contraindications, Item, Kind};

/// A town: name, degrees north and east, share of the people.
pub(super) struct Town {
    pub name: &'static str,
    pub latitude: f64,
    pub longitude: f64,
    pub share: u32,
}

/// No land is within hundreds of kilometres of these places.
pub(super) const TOWNS: [Town; 10] = [
    town("Port Alder", 46.50, -24.00, 30),
    town("Whitmere", 46.62, -23.88, 16),
    town("Saltcombe", 46.38, -24.15, 12),
    town("Greyhaven", 46.71, -24.12, 10),
    town("Elmsford", 46.45, -23.78, 8),
    town("Northwick", 46.84, -23.95, 7),
    town("Fenbridge", 46.29, -23.92, 6),
    town("Larkhill", 46.57, -24.28, 5),
    town("Stonemouth", 46.20, -24.20, 4),
    town("Easter Quay", 46.66, -23.62, 2),
];

const fn town(name: &'static str, latitude: f64, longitude: f64, share: u32) -> Town {
    Town { name, latitude, longitude, share }
}

/// Specialties and the conditions that lead to them. Family medicine comes first and sees all.
pub(super) const SPECIALTIES: [(&str, &[&str]); 12] = [
    ("family medicine", &[]),
    (
        "cardiology",
        &["hypertension", "heart failure", "coronary artery disease", "atrial fibrillation", "stroke"],
    ),
    (
        "endocrinology",
        &["type 1 diabetes", "type 2 diabetes", "hypothyroidism", "hyperthyroidism", "obesity"],
    ),
    ("pulmonology", &["asthma", "copd"]),
    ("gastroenterology", &["gastroesophageal reflux", "peptic ulcer", "ulcerative colitis", "liver disease"]),
    ("neurology", &["migraine", "epilepsy", "parkinson disease", "dementia", "neuropathic pain"]),
    ("psychiatry", &["depression", "anxiety", "bipolar disorder", "schizophrenia", "insomnia"]),
    ("orthopedics", &["osteoarthritis", "back pain", "osteoporosis"]),
    ("rheumatology", &["rheumatoid arthritis", "gout"]),
    ("nephrology", &["chronic kidney disease"]),
    ("urology", &["benign prostatic hyperplasia", "overactive bladder", "erectile dysfunction"]),
    ("dermatology", &["eczema", "psoriasis", "acne"]),
];

/// A place with its item and what it is good at.
pub(super) struct Place {
    pub item: Item,
    pub latitude: f64,
    pub longitude: f64,
    /// Places in [`SPECIALTIES`]; empty for a pharmacy.
    pub specialties: Vec<usize>,
}

pub(super) struct Places {
    pub hospitals: Vec<Place>,
    pub doctors: Vec<Place>,
    pub pharmacies: Vec<Place>,
}

impl Places {
    pub fn items(&self) -> impl Iterator<Item = Item> {
        let places = self.hospitals.iter().chain(&self.doctors).chain(&self.pharmacies);
        places.map(|place| place.item.clone())
    }
}

pub(super) fn generate(random: &mut impl Rng) -> Places {
    Places { hospitals: hospitals(random), doctors: doctors(random), pharmacies: pharmacies(random) }
}

fn hospitals(random: &mut impl Rng) -> Vec<Place> {
    let names = ["General Hospital", "St. Brannoc Hospital", "Clinic"];
    let mut hospitals = Vec::new();
    for (rank, town) in TOWNS.iter().enumerate() {
        // The larger the town, the more houses and the more departments.
        let houses = if rank == 0 {
            3
        } else if rank < 3 {
            2
        } else {
            1
        };
        for kind in 0..houses {
            // A small town's only house is a clinic.
            let name = if rank < 5 { names[kind] } else { names[2] };
            let departments = if rank < 5 && kind == 0 { 9 } else { 4 };
            let mut specialties: Vec<usize> = (1..SPECIALTIES.len()).collect();
            while specialties.len() > departments {
                specialties.remove(random.random_range(0..specialties.len()));
            }
            specialties.insert(0, 0);
            hospitals.push(place(Kind::Hospital, format!("{} {name}", town.name), town, specialties, random));
        }
    }
    hospitals
}

fn doctors(random: &mut impl Rng) -> Vec<Place> {
    let first = [
        "Ada", "Ben", "Clara", "Dimitri", "Esme", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Liam",
        "Mona", "Noor", "Otis", "Petra",
    ];
    let last = [
        "Ashdown", "Birch", "Calder", "Dunmore", "Ellery", "Foss", "Garrow", "Holt", "Imrie", "Jessop",
        "Kestrel", "Lowell", "Marsh", "Nye", "Orrin", "Pryce",
    ];
    let mut doctors = Vec::new();
    let mut add = |specialty: usize, town: &Town, random: &mut _| {
        let number = doctors.len();
        // Sixteen by sixteen names, none twice.
        let name = format!("Dr. {} {}", first[number % 16], last[(number / 16 + number * 5) % 16]);
        doctors.push(place(Kind::Doctor, name, town, vec![specialty], random));
    };
    for (rank, town) in TOWNS.iter().enumerate() {
        let family = if rank == 0 {
            6
        } else if rank < 4 {
            3
        } else {
            2
        };
        for _ in 0..family {
            add(0, town, random);
        }
        for specialty in 1..SPECIALTIES.len() {
            let likely = if rank == 0 { 1.0 } else { 0.5 / rank as f64 };
            if random.random_bool(likely) {
                add(specialty, town, random);
            }
        }
    }
    doctors
}

fn pharmacies(random: &mut impl Rng) -> Vec<Place> {
    let names = ["Harbour Pharmacy", "Market Pharmacy", "Green Cross Pharmacy", "Station Pharmacy"];
    let mut pharmacies = Vec::new();
    for (rank, town) in TOWNS.iter().enumerate() {
        let shops = if rank == 0 {
            4
        } else if rank < 5 {
            2
        } else {
            1
        };
        for name in &names[..shops] {
            pharmacies.push(place(Kind::Pharmacy, format!("{} {name}", town.name), town, Vec::new(), random));
        }
    }
    pharmacies
}

fn place(kind: Kind, name: String, town: &Town, specialties: Vec<usize>, random: &mut impl Rng) -> Place {
    let (latitude, longitude) = near(town, random);
    let names: Vec<&str> = specialties.iter().map(|at| SPECIALTIES[*at].0).collect();
    let mut all = attributes([("town", json!(town.name))]);
    if !names.is_empty() {
        all.insert("specialties".to_owned(), json!(names));
    }
    Place {
        item: Item {
            item_id: slug(&name),
            kind,
            name,
            attributes: all,
            latitude: Some(latitude),
            longitude: Some(longitude),
            hidden: false,
            // Who had a prescription filled at a pharmacy may well go there again.
            repeatable: kind == Kind::Pharmacy,
            contraindications: Contraindications::default(),
        },
        latitude,
        longitude,
        specialties,
    }
}

/// A spot within some four kilometres of the town's middle, to a ten-thousandth of a degree.
pub(super) fn near(town: &Town, random: &mut impl Rng) -> (f64, f64) {
    let mut spot = |middle: f64| {
        let degrees = middle + random.random_range(-0.035..0.035);
        (degrees * 1e4).round() / 1e4
    };
    (spot(town.latitude), spot(town.longitude))
}

/// One of the places, the nearer the likelier: every five kilometres further make it less than
/// half as likely. `None` if there are none.
pub(super) fn by_distance<'a>(
    places: &[&'a Place],
    (latitude, longitude): (f64, f64),
    random: &mut impl Rng,
) -> Option<&'a Place> {
    places
        .choose_weighted(random, |place| {
            // On an island of this size the earth is flat: 111 km a degree, less towards the pole.
            let north = (place.latitude - latitude) * 111.0;
            let east = (place.longitude - longitude) * 111.0 * latitude.to_radians().cos();
            (-north.hypot(east) / 6.0).exp()
        })
        .ok()
        .copied()
}
