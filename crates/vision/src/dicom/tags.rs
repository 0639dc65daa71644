//! The attributes that decide how pixels look. All others are stepped over.

/// Group and element number of an attribute, e.g. `0x0028_0010` for (0028,0010) Rows.
pub(super) type Tag = u32;

/// The name people know an attribute by.
pub(super) fn shown(tag: Tag) -> String {
    format!("({:04X},{:04X})", tag >> 16, tag & 0xffff)
}

pub const TRANSFER_SYNTAX: Tag = 0x0002_0010;
pub const MODALITY: Tag = 0x0008_0060;
pub const SOP_CLASS: Tag = 0x0008_0016;
pub const STUDY_DATE: Tag = 0x0008_0020;
pub const ANATOMIC_REGION: Tag = 0x0008_2218;
pub const CODE_VALUE: Tag = 0x0008_0100;
pub const SYNTHETIC: Tag = 0x0008_001c;
pub const BIRTH_DATE: Tag = 0x0010_0030;
pub const AGE: Tag = 0x0010_1010;
pub const SPECIES: Tag = 0x0010_2201;
pub const BODY_PART: Tag = 0x0018_0015;
pub const IMAGER_SPACING: Tag = 0x0018_1164;
pub const SCANNED_SPACING: Tag = 0x0018_2010;
pub const VIEW_POSITION: Tag = 0x0018_5101;
pub const ORIENTATION: Tag = 0x0020_0020;
pub const VIEW_CODE: Tag = 0x0054_0220;
pub const SAMPLES_PER_PIXEL: Tag = 0x0028_0002;
pub const PHOTOMETRIC: Tag = 0x0028_0004;
pub const PLANAR: Tag = 0x0028_0006;
pub const FRAMES: Tag = 0x0028_0008;
pub const ROWS: Tag = 0x0028_0010;
pub const COLUMNS: Tag = 0x0028_0011;
pub const PIXEL_SPACING: Tag = 0x0028_0030;
pub const PIXEL_ASPECT: Tag = 0x0028_0034;
pub const BITS_ALLOCATED: Tag = 0x0028_0100;
pub const BITS_STORED: Tag = 0x0028_0101;
pub const HIGH_BIT: Tag = 0x0028_0102;
pub const SIGNED: Tag = 0x0028_0103;
pub const PADDING: Tag = 0x0028_0120;
pub const PADDING_LIMIT: Tag = 0x0028_0121;
pub const FLOAT_PADDING: Tag = 0x0028_0122;
pub const DOUBLE_PADDING: Tag = 0x0028_0123;
pub const QUALITY_CONTROL: Tag = 0x0028_0300;
pub const WINDOW_CENTRE: Tag = 0x0028_1050;
pub const WINDOW_WIDTH: Tag = 0x0028_1051;
pub const INTERCEPT: Tag = 0x0028_1052;
pub const SLOPE: Tag = 0x0028_1053;
pub const VOI_FUNCTION: Tag = 0x0028_1056;
pub const PALETTE_DESCRIPTORS: [Tag; 3] = [0x0028_1101, 0x0028_1102, 0x0028_1103];
pub const PALETTES: [Tag; 3] = [0x0028_1201, 0x0028_1202, 0x0028_1203];
pub const SEGMENTED_PALETTES: [Tag; 3] = [0x0028_1221, 0x0028_1222, 0x0028_1223];
pub const MODALITY_LUTS: Tag = 0x0028_3000;
pub const LUT_DESCRIPTOR: Tag = 0x0028_3002;
pub const LUT_DATA: Tag = 0x0028_3006;
pub const VOI_LUTS: Tag = 0x0028_3010;
pub const PIXEL_MEASURES: Tag = 0x0028_9110;
pub const FRAME_VOI: Tag = 0x0028_9132;
pub const PIXEL_TRANSFORMATION: Tag = 0x0028_9145;
pub const FRAME_PIXEL_DATA: Tag = 0x0028_9443;
pub const PRESENTATION_SHAPE: Tag = 0x2050_0020;
pub const SHARED_GROUPS: Tag = 0x5200_9229;
pub const FRAME_GROUPS: Tag = 0x5200_9230;
pub const EXTENDED_OFFSETS: Tag = 0x7fe0_0001;
pub const FLOAT_PIXELS: Tag = 0x7fe0_0008;
pub const DOUBLE_PIXELS: Tag = 0x7fe0_0009;
pub const PIXELS: Tag = 0x7fe0_0010;

/// Groups of which every attribute is kept (image pixel, presentation, functional
/// groups, pixel data).
pub const GROUPS: [u32; 4] = [0x0028, 0x2050, 0x5200, 0x7fe0];

/// Study Instance UID.
pub const STUDY: Tag = 0x0020_000d;
/// Attributes of other groups that are kept: how large pixels are.
pub const SPACINGS: [Tag; 2] = [IMAGER_SPACING, SCANNED_SPACING];
/// And what the file says that it is.
pub const IDENTITY: [Tag; 14] = [
    MODALITY,
    BODY_PART,
    VIEW_POSITION,
    VIEW_CODE,
    ORIENTATION,
    STUDY,
    SYNTHETIC,
    SOP_CLASS,
    ANATOMIC_REGION,
    CODE_VALUE,
    AGE,
    BIRTH_DATE,
    STUDY_DATE,
    SPECIES,
];

pub const ITEM: Tag = 0xfffe_e000;
pub const ITEM_END: Tag = 0xfffe_e00d;
pub const SEQUENCE_END: Tag = 0xfffe_e0dd;
